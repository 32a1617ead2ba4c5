package opampserver

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/open-telemetry/opamp-go/protobufs"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/fleet"
	"github.com/invar-otel/invar/internal/remoteconf"
)

const contentYAML = "text/yaml"

// maxHash bounds the hash that an agent reports, in bytes. This server's have 32.
const maxHash = 64

// emptyHash is the hash of an offer without pipelines: in OpAMP every configuration
// has a hash.
var emptyHash = sha256.Sum256(nil)

// hashText returns the fleet's form of a hash that an agent reports.
func hashText(hash []byte) string {
	if string(hash) == string(emptyHash[:]) {
		return ""
	}
	if len(hash) > maxHash { // not a hash of this server, and it is stored
		hash = hash[:maxHash]
	}
	return hex.EncodeToString(hash)
}

// hashBytes returns OpAMP's form of an offer's hash.
func hashBytes(hash string) []byte {
	if hash == "" {
		return emptyHash[:]
	}
	if b, err := hex.DecodeString(hash); err == nil {
		return b
	}
	return []byte(hash)
}

// remoteConfig returns an offer with a file for each pipeline.
func remoteConfig(o fleet.Offer) *protobufs.AgentRemoteConfig {
	files := make(map[string]*protobufs.AgentConfigFile, len(o.Set))
	for name, body := range o.Set {
		files[name] = &protobufs.AgentConfigFile{Body: body, ContentType: contentYAML}
	}
	return &protobufs.AgentRemoteConfig{Config: &protobufs.AgentConfigMap{ConfigMap: files}, ConfigHash: hashBytes(o.Hash)}
}

// attributes returns all attributes of a description as text. Identifying ones take
// precedence.
func attributes(d *protobufs.AgentDescription) map[string]string {
	m := make(map[string]string, len(d.IdentifyingAttributes)+len(d.NonIdentifyingAttributes)+4)
	for _, list := range [][]*protobufs.KeyValue{d.NonIdentifyingAttributes, d.IdentifyingAttributes} {
		for _, kv := range list {
			if kv.GetKey() != "" {
				m[kv.GetKey()] = text(kv.GetValue())
			}
		}
	}
	return m
}

// text returns a simple value as text, and "" for lists and maps.
func text(v *protobufs.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *protobufs.AnyValue_StringValue:
		return v.StringValue
	case *protobufs.AnyValue_BoolValue:
		return strconv.FormatBool(v.BoolValue)
	case *protobufs.AnyValue_IntValue:
		return strconv.FormatInt(v.IntValue, 10)
	case *protobufs.AnyValue_DoubleValue:
		return strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
	case *protobufs.AnyValue_BytesValue:
		return hex.EncodeToString(v.BytesValue)
	}
	return ""
}

// fleetID returns the agent's id in the fleet: the id that remote_config sends, which
// is the same over both transports, or else the instance uid.
func fleetID(uid uuid.UUID, d *protobufs.AgentDescription) string {
	for _, kv := range d.NonIdentifyingAttributes {
		if kv.GetKey() == "collector.id" && text(kv.GetValue()) != "" {
			return text(kv.GetValue())
		}
	}
	return uid.String()
}

// sighting converts a message.
func sighting(id string, c *connection, m *protobufs.AgentToServer) fleet.Sighting {
	s := fleet.Sighting{ID: id, Transport: fleet.TransportOpAMP, Address: c.address, Token: c.token, Partial: true}
	if d := m.AgentDescription; d != nil {
		a := attributes(d)
		s.Name = cmp.Or(a["collector.name"], a["host.name"], a["service.name"])
		s.Version = a["service.version"]
		// Matchers that were written for remote_config match other agents, too.
		for name, same := range map[string]string{
			"collector.os": "os.type", "collector.arch": "host.arch", "collector.hostname": "host.name",
		} {
			if value := a[same]; a[name] == "" && value != "" {
				a[name] = value
			}
		}
		s.Attributes = a
	}
	if status := m.RemoteConfigStatus; status != nil {
		s.Partial = false
		s.Hash, s.Status, s.Error = hashText(status.LastRemoteConfigHash), remoteconf.Status(status.Status), status.ErrorMessage
	}
	if config := m.EffectiveConfig.GetConfigMap(); config != nil {
		s.Effective = make(map[string][]byte, len(config.ConfigMap))
		for name, file := range config.ConfigMap {
			s.Effective[cmp.Or(name, "effective")] = file.GetBody()
		}
	}
	if h := m.Health; h != nil {
		s.Healthy, s.HealthText = &h.Healthy, healthText(h, 0)
	}
	if list := m.AvailableComponents; len(list.GetComponents()) > 0 {
		s.Components = components(list.Components)
	}
	return s
}

// healthText returns the first error in the tree, after the names of its parents.
func healthText(h *protobufs.ComponentHealth, depth int) string {
	if h.GetHealthy() {
		return ""
	}
	if h.GetLastError() == "" && depth < 8 {
		for _, name := range slices.Sorted(maps.Keys(h.GetComponentHealthMap())) {
			if words := healthText(h.ComponentHealthMap[name], depth+1); words != "" {
				return name + ": " + words
			}
		}
	}
	return cmp.Or(h.GetLastError(), h.GetStatus())
}

// components returns the components as kind/type, sorted. Upstream's opamp extension
// sends kinds in the plural ("receivers").
func components(kinds map[string]*protobufs.ComponentDetails) []string {
	list := []string{}
	for kind, details := range kinds {
		for name := range details.GetSubComponentMap() {
			list = append(list, strings.TrimSuffix(kind, "s")+"/"+name)
		}
	}
	slices.Sort(list)
	return list
}
