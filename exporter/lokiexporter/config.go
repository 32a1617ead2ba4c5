package lokiexporter

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/exporter/lokiexporter/internal/translate"
	"github.com/invar-otel/invar/internal/lokiapi"
	"github.com/invar-otel/invar/internal/push"
)

// Config is what a user writes under exporters::loki.
type Config struct {
	push.Config `mapstructure:",squash"`

	// Translation selects labels and lines: "native", "contrib" for those of contrib's
	// exporter, or "auto", see mode.
	Translation string `mapstructure:"translation"`
	// DefaultLabelsEnabled selects the labels exporter, job, instance and level of
	// contrib's exporter.
	DefaultLabelsEnabled map[string]bool `mapstructure:"default_labels_enabled"`

	Labels             LabelsConfig             `mapstructure:"labels"`
	StructuredMetadata StructuredMetadataConfig `mapstructure:"structured_metadata"`
	// Format is the format of lines: "raw", "json" or "logfmt".
	Format translate.Format `mapstructure:"format"`
	// Encoding is the encoding of requests: "protobuf" or "json".
	Encoding string `mapstructure:"encoding"`
	// MaxConcurrentRequests is the number of requests of a batch that are sent at a
	// time. Requests with entries of one stream are never sent at the same time.
	MaxConcurrentRequests int `mapstructure:"max_concurrent_requests"`

	// configured has those of the keys labels, structured_metadata and format that
	// the user set.
	configured map[string]bool
}

// LabelsConfig selects the labels of streams.
type LabelsConfig struct {
	// Defaults makes labels of the resource attributes in defaultLabels.
	Defaults bool `mapstructure:"defaults"`
	// Resource and Attributes map attributes of the resource and of the record to
	// labels. An empty label gets the attribute's name, with underscores.
	Resource   map[string]string `mapstructure:"resource"`
	Attributes map[string]string `mapstructure:"attributes"`
	// Static labels are on every stream.
	Static map[string]string `mapstructure:"static"`
	// Severity is the label for the level; "" for none.
	Severity string `mapstructure:"severity"`
	// Drop has the names of labels to leave out.
	Drop []string `mapstructure:"drop"`
	// MaxValues is the number of values that a label may have in an hour; 0 for no limit.
	MaxValues int `mapstructure:"max_values"`
	// OnLimit decides what happens to further values: "keep" or "drop".
	OnLimit string `mapstructure:"on_limit"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// StructuredMetadataConfig selects what is sent as structured metadata.
type StructuredMetadataConfig struct {
	Enabled bool `mapstructure:"enabled"`
	// Exclude has names that are not sent. A name that ends in * is a prefix.
	Exclude []string `mapstructure:"exclude"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	modeAuto         = "auto"
	modeNative       = "native"
	modeContrib      = "contrib"
	encodingProtobuf = "protobuf"
	encodingJSON     = "json"
	onLimitKeep      = "keep"
	onLimitDrop      = "drop"
	labelWindow      = time.Hour
)

// defaultLabels has the resource attributes that are labels by default: those of
// Loki's OTLP endpoint without service.instance.id, k8s.pod.name,
// k8s.replicaset.name and k8s.job.name, which change with every rollout.
var defaultLabels = []string{
	"service.name", "service.namespace", "deployment.environment", "deployment.environment.name",
	"cloud.region", "cloud.availability_zone",
	"k8s.cluster.name", "k8s.namespace.name", "k8s.container.name", "container.name",
	"k8s.deployment.name", "k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name",
}

// contribLabels has the keys of default_labels_enabled.
var contribLabels = []string{"exporter", "job", "instance", "level"}

func createDefaultConfig() component.Config {
	return &Config{
		// Two consumers could send batches of a stream in the wrong order.
		Config:                push.NewDefaultConfig(1, 2<<20),
		Translation:           modeAuto,
		Labels:                LabelsConfig{Defaults: true, MaxValues: 1000, OnLimit: onLimitKeep},
		StructuredMetadata:    StructuredMetadataConfig{Enabled: true, Exclude: []string{"observed_timestamp"}},
		Format:                translate.Raw,
		Encoding:              encodingProtobuf,
		MaxConcurrentRequests: 4,
	}
}

// Unmarshal implements confmap.Unmarshaler.
func (c *Config) Unmarshal(conf *confmap.Conf) error {
	if err := conf.Unmarshal(c); err != nil {
		return err
	}
	c.configured = map[string]bool{}
	for _, key := range []string{"labels", "structured_metadata", "format"} {
		if conf.IsSet(key) {
			c.configured[key] = true
		}
	}
	return nil
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	fail := func(key string, value any, want string) {
		errs = append(errs, fmt.Errorf("%s: %v %s", key, value, want))
	}
	oneOf := func(key, value string, known ...string) {
		if !slices.Contains(known, value) {
			fail(key, fmt.Sprintf("%q", value), "is not known; use "+strings.Join(known, " or "))
		}
	}
	if c.Endpoint == "" {
		errs = append(errs, errors.New("endpoint: is not set; write it like http://localhost:3100"))
	} else if _, err := pushURL(c.Endpoint); err != nil {
		fail("endpoint", fmt.Sprintf("%q", c.Endpoint), "is not an http or https URL; write it like http://localhost:3100")
	}
	errs = append(errs, c.Errors("Loki", "protobuf is always snappy")...)
	oneOf("translation", c.Translation, modeAuto, modeNative, modeContrib)
	oneOf("format", string(c.Format), string(translate.Raw), string(translate.JSON), string(translate.Logfmt))
	oneOf("encoding", c.Encoding, encodingProtobuf, encodingJSON)
	oneOf("labels::on_limit", c.Labels.OnLimit, onLimitKeep, onLimitDrop)
	for key := range c.DefaultLabelsEnabled {
		oneOf("default_labels_enabled", key, contribLabels...)
	}
	if len(c.DefaultLabelsEnabled) > 0 && c.Translation == modeNative {
		errs = append(errs, errors.New("default_labels_enabled: belongs to translation: contrib; remove it, or translation: native"))
	}
	if c.Labels.MaxValues < 0 {
		fail("labels::max_values", c.Labels.MaxValues, "is out of range; use 0 for no limit, or like 1000")
	}
	if c.MaxConcurrentRequests < 1 || c.MaxConcurrentRequests > 256 {
		fail("max_concurrent_requests", c.MaxConcurrentRequests, "is out of range; use 1 to 256")
	}
	if c.Labels.OnLimit == onLimitDrop && !c.settings().Metadata {
		fail("labels::on_limit", onLimitDrop, "would lose values, as structured metadata is off; use keep, or structured_metadata: {enabled: true}")
	}
	errs = append(errs, c.Labels.validate()...)
	return errors.Join(errs...)
}

func (c *LabelsConfig) validate() []error {
	var errs []error
	from := map[string]string{}
	check := func(key, name string) {
		if !lokiapi.ValidLabelName(name) || strings.HasPrefix(name, "__") {
			errs = append(errs, fmt.Errorf("labels::%s: %q is not a label name; use letters, digits and underscores, like namespace", key, name))
		}
	}
	for kind, labels := range map[string]map[string]string{"resource": c.Resource, "attributes": c.Attributes} {
		for attribute, name := range labels {
			if name == "" {
				name = lokiapi.LabelName(attribute)
			}
			check(kind, name)
			if other, ok := from[kind+name]; ok {
				errs = append(errs, fmt.Errorf("labels::%s: both %q and %q become the label %q; give one of them another name",
					kind, min(other, attribute), max(other, attribute), name))
			}
			from[kind+name] = attribute
		}
	}
	for name := range c.Static {
		check("static", name)
	}
	if c.Severity != "" {
		check("severity", c.Severity)
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs
}

// pushURL returns the URL to push to. The endpoint is either that URL or Loki's
// base URL.
func pushURL(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("neither http nor https")
	}
	if !strings.HasSuffix(u.Path, "/push") {
		u = u.JoinPath(lokiapi.PushPath)
	}
	return u, nil
}

// mode returns the translation, resolving auto. Configurations of contrib's exporter
// are recognized by the whole push URL as endpoint and by default_labels_enabled,
// its only key for labels or lines.
func (c *Config) mode() string {
	switch {
	case c.Translation != modeAuto:
		return c.Translation
	case len(c.DefaultLabelsEnabled) > 0, strings.HasSuffix(c.Endpoint, lokiapi.PushPath) && len(c.configured) == 0:
		return modeContrib
	}
	return modeNative
}

// settings returns the settings of the translation, except Limit.
func (c *Config) settings() translate.Settings {
	s := translate.Settings{
		Tenant: c.DefaultTenant(), TenantAttribute: c.Tenant.Attribute, TenantInHeader: c.Tenant.Header != "",
		Metadata: c.StructuredMetadata.Enabled, ExcludeMetadata: c.StructuredMetadata.Exclude,
		Format: c.Format, Now: time.Now,
	}
	if c.mode() == modeContrib {
		enabled := func(label string) bool {
			on, set := c.DefaultLabelsEnabled[label]
			return on || !set
		}
		s.Contrib = &translate.Contrib{
			Exporter: enabled("exporter"), Job: enabled("job"), Instance: enabled("instance"), Level: enabled("level"),
		}
		if !c.configured["format"] {
			s.Format = translate.JSON
		}
		if !c.configured["structured_metadata"] {
			s.Metadata = false
		}
	}
	l := &c.Labels
	s.ResourceLabels = map[string]string{}
	if l.Defaults && s.Contrib == nil {
		for _, attribute := range defaultLabels {
			s.ResourceLabels[attribute] = lokiapi.LabelName(attribute)
		}
	}
	named := func(to map[string]string, labels map[string]string) {
		for attribute, name := range labels {
			if name == "" {
				name = lokiapi.LabelName(attribute)
			}
			for other, label := range to {
				if label == name {
					delete(to, other) // the user's label replaces a default
				}
			}
			to[attribute] = name
		}
	}
	named(s.ResourceLabels, l.Resource)
	s.RecordLabels = map[string]string{}
	named(s.RecordLabels, l.Attributes)
	s.StaticLabels, s.SeverityLabel, s.Drop = l.Static, l.Severity, l.Drop
	return s
}
