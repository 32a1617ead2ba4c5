package opamptransport

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/open-telemetry/opamp-go/protobufs"
	"go.opentelemetry.io/collector/component"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/internal/remoteconf"
)

const (
	contentYAML = "text/yaml"
	// maxEffective bounds the reported effective configuration in bytes. Servers
	// bound their messages; invar-fleet accepts 4 MiB.
	maxEffective  = 3 << 20
	attributeName = "collector.name"
	attributeID   = "collector.id"
)

// idSpace is the name space of the uids for IDs that are not UUIDs.
var idSpace = uuid.MustParse("0e5b8c4e-2f0b-5d0c-9a8d-4f6d4a3f3b52")

// instanceUID returns the uid that the server assigned, or else the ID if it is a UUID,
// or else a uid derived from the ID.
func instanceUID(given, id string) uuid.UUID {
	for _, s := range []string{given, id} {
		if uid, err := uuid.Parse(s); err == nil && uid != uuid.Nil {
			return uid
		}
	}
	return uuid.NewSHA1(idSpace, []byte(id))
}

// text replaces invalid UTF-8, with which a message cannot be encoded.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func attribute(key, value string) *protobufs.KeyValue {
	return &protobufs.KeyValue{Key: text(key), Value: &protobufs.AnyValue{
		Value: &protobufs.AnyValue_StringValue{StringValue: text(value)},
	}}
}

func attributes(m map[string]string) []*protobufs.KeyValue {
	list := make([]*protobufs.KeyValue, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list = append(list, attribute(key, m[key]))
	}
	return list
}

// description returns the identity of the collector as resource attributes of the
// semantic conventions. The user's attributes take precedence.
func description(id transport.Identity, uid uuid.UUID) *protobufs.AgentDescription {
	identifying := map[string]string{
		"service.name":        id.BuildInfo.Command,
		"service.version":     id.BuildInfo.Version,
		"service.instance.id": id.ID,
	}
	if id.ID == "" {
		identifying["service.instance.id"] = uid.String()
	}
	others := map[string]string{"os.type": runtime.GOOS, "host.arch": runtime.GOARCH}
	if host, err := os.Hostname(); err == nil {
		others["host.name"] = host
	}
	if id.Name != "" {
		others[attributeName] = id.Name
	}
	for key, value := range id.Attributes {
		switch key {
		case "service.name", "service.namespace", "service.version":
			identifying[key] = value
		case "service.instance.id": // is the ID
		default:
			others[key] = value
		}
	}
	// The attribute by which invar-fleet identifies the collector. A server assigns
	// another uid if a second collector has the same ID.
	others[attributeID] = id.ID
	if uid != instanceUID("", id.ID) {
		others[attributeID] = uid.String()
	}
	return &protobufs.AgentDescription{
		IdentifyingAttributes: attributes(identifying), NonIdentifyingAttributes: attributes(others),
	}
}

// availableComponents returns the component types by kind, in the form of upstream's
// opamp extension: receivers::otlp with the module as code.namespace.
func availableComponents(list []transport.Component) *protobufs.AvailableComponents {
	names := map[component.Kind]string{
		component.KindReceiver: "receivers", component.KindProcessor: "processors", component.KindExporter: "exporters",
		component.KindConnector: "connectors", component.KindExtension: "extensions",
	}
	kinds := map[string]*protobufs.ComponentDetails{}
	lines := make([]string, 0, len(list))
	for _, c := range list {
		name := names[c.Kind]
		if name == "" {
			continue
		}
		if kinds[name] == nil {
			kinds[name] = &protobufs.ComponentDetails{SubComponentMap: map[string]*protobufs.ComponentDetails{}}
		}
		kinds[name].SubComponentMap[c.Type.String()] = &protobufs.ComponentDetails{
			Metadata: []*protobufs.KeyValue{attribute("code.namespace", c.Module)},
		}
		lines = append(lines, fmt.Sprintf("%s %s %s\n", name, c.Type, c.Module))
	}
	slices.Sort(lines)
	hash := sha256.Sum256([]byte(strings.Join(lines, "")))
	return &protobufs.AvailableComponents{Components: kinds, Hash: hash[:]}
}

func remoteConfigStatus(r transport.Report) *protobufs.RemoteConfigStatus {
	return &protobufs.RemoteConfigStatus{
		LastRemoteConfigHash: hashBytes(r.Hash),
		Status:               protobufs.RemoteConfigStatuses(r.Status),
		ErrorMessage:         text(r.Error),
	}
}

// effectiveConfig returns what runs. Configurations that exceed maxEffective in total
// are left out, in order of their names.
func effectiveConfig(configs map[string][]byte) *protobufs.EffectiveConfig {
	files := make(map[string]*protobufs.AgentConfigFile, len(configs))
	size := 0
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		body := configs[name]
		if size+len(body) > maxEffective {
			body = fmt.Appendf(nil, "# %d bytes are left out: all together is more than %d\n", len(body), maxEffective)
		}
		size += len(body)
		files[text(name)] = &protobufs.AgentConfigFile{Body: body, ContentType: contentYAML}
	}
	return &protobufs.EffectiveConfig{ConfigMap: &protobufs.AgentConfigMap{ConfigMap: files}}
}

func componentHealth(h transport.Health) *protobufs.ComponentHealth {
	nanos := func(t time.Time) uint64 {
		if t.IsZero() || t.UnixNano() < 0 {
			return 0
		}
		return uint64(t.UnixNano())
	}
	m := &protobufs.ComponentHealth{
		Healthy: h.Healthy, Status: text(h.Status), LastError: text(h.Error),
		StartTimeUnixNano: nanos(h.Since), StatusTimeUnixNano: nanos(h.Changed),
	}
	if len(h.Parts) > 0 {
		m.ComponentHealthMap = make(map[string]*protobufs.ComponentHealth, len(h.Parts))
		for name, part := range h.Parts {
			m.ComponentHealthMap[text(name)] = componentHealth(part)
		}
	}
	return m
}

// hashText returns a server's hash in the form that the extension keeps; hashBytes is the
// inverse. A hash of the other protocol, from the directory, is passed on unchanged.
func hashText(hash []byte) string { return hex.EncodeToString(hash) }

func hashBytes(hash string) []byte {
	if b, err := hex.DecodeString(hash); err == nil {
		return b
	}
	return []byte(hash)
}

// offer returns the offer in a message. ok is false if there is none.
func offer(c *protobufs.AgentRemoteConfig) (o transport.Offer, ok bool) {
	if c == nil || c.Config == nil && len(c.ConfigHash) == 0 {
		return o, false
	}
	files := c.GetConfig().GetConfigMap()
	o.Set, o.Err = readSet(files)
	switch {
	case len(c.ConfigHash) > 0:
		o.Hash = hashText(c.ConfigHash)
	case o.Err == nil:
		o.Hash = o.Set.Hash()
	default:
		o.Hash = contentHash(files)
	}
	return o, true
}

// readSet returns the set in a config map, which has either the single key "" with a
// content for remoteconf.Parse, or pipelines by name.
func readSet(files map[string]*protobufs.AgentConfigFile) (remoteconf.Set, error) {
	size := 0
	for _, file := range files {
		size += len(file.GetBody())
	}
	if size > remoteconf.MaxSize {
		return nil, fmt.Errorf("the configuration has %d bytes; the limit is %d", size, remoteconf.MaxSize)
	}
	if len(files) > remoteconf.MaxPipelines {
		return nil, fmt.Errorf("the configuration has %d pipelines; the limit is %d", len(files), remoteconf.MaxPipelines)
	}
	if file, unnamed := files[""]; unnamed {
		if len(files) > 1 {
			return nil, fmt.Errorf("the config map has the key \"\" and %d others; use \"\" alone for one content, or name every pipeline", len(files)-1)
		}
		return remoteconf.Parse(file.GetBody())
	}
	set := make(remoteconf.Set, len(files))
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := remoteconf.ValidName(name); err != nil {
			errs = append(errs, err)
			continue
		}
		one, err := remoteconf.Parse(files[name].GetBody())
		switch body, plain := one[remoteconf.DefaultName]; {
		case err != nil:
			errs = append(errs, fmt.Errorf("pipelines::%s: %w", name, err))
		case len(one) == 0:
			errs = append(errs, fmt.Errorf("pipelines::%s: is empty; it has to be a collector configuration", name))
		case !plain || len(one) > 1:
			errs = append(errs, fmt.Errorf("pipelines::%s: has the key \"pipelines\"; send it below the key \"\" of the config map", name))
		default:
			set[name] = bytes.Clone(body)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := set.CheckSize(); err != nil {
		return nil, err
	}
	return set, nil
}

// contentHash identifies a configuration that cannot be read and has no hash.
func contentHash(files map[string]*protobufs.AgentConfigFile) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		body := files[name].GetBody()
		_, _ = fmt.Fprintf(h, "%d %s %d ", len(name), name, len(body))
		h.Write(body)
	}
	return hex.EncodeToString(h.Sum(nil))
}
