package pprofscrapereceiver

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/internal/promdiscovery"
)

// Labels of a target before relabelling that concern profiles, with the names that
// Parca and Alloy use.
const (
	labelPath        = "__profile_path__"
	labelPathPrefix  = "__profile_path_prefix__"
	labelServiceName = "service_name"
)

// target is a profile of a target, after relabelling.
type target struct {
	key     string // of the profile, in the configuration
	profile ProfileConfig
	name    string // of the profile, in the pipeline

	url      string
	seconds  int // duration of the profile; 0 without delta
	interval time.Duration
	timeout  time.Duration // of a whole scrape, including seconds

	labels labels.Labels // without those that begin with __
	id     uint64        // hash of all of the above
}

// isCumulative reports whether the profile has counters that may count since the
// start of the process and are passed on unchanged.
func (t *target) isCumulative() bool {
	return len(t.profile.Cumulative) == 0 && !t.profile.Delta && profileName(t.key) == t.key && pprofconv.IsCounter(t.name)
}

// targetsOf returns the targets of a group, and an error for each target with
// invalid labels.
func (c *ScrapeConfig) targetsOf(group *targetgroup.Group) (found []*target, errs []error) {
	pods := podsOf(group)
	lb := labels.NewBuilder(labels.EmptyLabels())
	for i, own := range group.Targets {
		for key, profile := range c.ProfilingConfig.enabled() {
			c.discovered(lb, own, group.Labels, key, profile)
			raw := lb.Labels()
			if c.KubernetesAnnotations != annotationsIgnore && !pods.choose(lb, i, key, c.KubernetesAnnotations == annotationsRequire) {
				continue
			}
			if !relabel.ProcessBuilder(lb, c.targets.RelabelConfigs()...) {
				continue
			}
			t, err := c.target(lb, raw, key, profile)
			if err != nil {
				errs = append(errs, fmt.Errorf("target %s of %s, profile %s: %w", raw.Get(model.AddressLabel), group, key, err))
				continue
			}
			found = append(found, t)
		}
	}
	return found, errs
}

// discovered sets the labels before relabelling.
func (c *ScrapeConfig) discovered(lb *labels.Builder, own, group model.LabelSet, key string, profile ProfileConfig) {
	lb.Reset(labels.EmptyLabels())
	for _, set := range []model.LabelSet{group, own} {
		for name, value := range set {
			lb.Set(string(name), string(value))
		}
	}
	setDefault := func(name, value string) {
		if lb.Get(name) == "" {
			lb.Set(name, value)
		}
	}
	setDefault(model.JobLabel, c.JobName)
	setDefault(model.SchemeLabel, c.Scheme)
	setDefault(model.ScrapeIntervalLabel, model.Duration(c.ScrapeInterval).String())
	setDefault(model.ScrapeTimeoutLabel, model.Duration(c.timeout()).String())
	setDefault(labelPath, profile.Path)
	setDefault(labelPathPrefix, c.ProfilingConfig.PathPrefix)
	lb.Set(model.MetricNameLabel, profileName(key))
	for name, values := range c.Params {
		if len(values) > 0 {
			setDefault(model.ParamLabelPrefix+name, values[0])
		}
	}
}

func (c *ScrapeConfig) timeout() time.Duration {
	if c.ScrapeTimeout == 0 {
		return c.ScrapeInterval
	}
	return c.ScrapeTimeout
}

// target returns the target with the labels in lb, after relabelling. raw are the
// labels before, which may contain the service's name.
func (c *ScrapeConfig) target(lb *labels.Builder, raw labels.Labels, key string, profile ProfileConfig) (*target, error) {
	address := lb.Get(model.AddressLabel)
	if address == "" {
		return nil, errors.New("__address__: is empty; discovery or relabel_configs must set it, like localhost:6060")
	}
	if promconfig.CheckTargetAddress(model.LabelValue(address)) != nil {
		return nil, fmt.Errorf("__address__: %q is not an address; it must be like localhost:6060", address)
	}
	t := &target{key: key, profile: profile, name: lb.Get(model.MetricNameLabel)}
	if t.name == "" {
		t.name = profileName(key)
	}
	if err := c.times(t, lb); err != nil {
		return nil, err
	}
	var err error
	if t.url, err = c.url(lb, address, t.seconds); err != nil {
		return nil, err
	}
	if lb.Get(model.InstanceLabel) == "" {
		lb.Set(model.InstanceLabel, address)
	}
	if lb.Get(labelServiceName) == "" {
		name := promdiscovery.Service(raw.Get)
		if name == "" {
			name = lb.Get(model.JobLabel)
		}
		lb.Set(labelServiceName, name)
	}
	lb.Range(func(l labels.Label) {
		if strings.HasPrefix(l.Name, model.ReservedLabelPrefix) {
			lb.Del(l.Name)
		}
	})
	t.labels = lb.Labels()
	if err := t.labels.Validate(func(l labels.Label) error {
		if !model.LabelValue(l.Value).IsValid() {
			return fmt.Errorf("label %s: %q is not UTF-8", l.Name, l.Value)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	lb.Reset(t.labels)
	for name, value := range map[string]string{
		"__url__": t.url, "__key__": t.key, model.MetricNameLabel: t.name,
		model.ScrapeIntervalLabel: t.interval.String(), model.ScrapeTimeoutLabel: t.timeout.String(),
	} {
		lb.Set(name, value)
	}
	t.id = labels.StableHash(lb.Labels())
	return t, nil
}

// times sets the interval, timeout and seconds of t.
func (c *ScrapeConfig) times(t *target, lb *labels.Builder) error {
	var err error
	if t.interval, err = duration(lb, model.ScrapeIntervalLabel); err != nil {
		return err
	}
	if t.timeout, err = duration(lb, model.ScrapeTimeoutLabel); err != nil {
		return err
	}
	if !t.profile.Delta {
		return nil
	}
	longest := t.interval - time.Second
	if c.DeltaProfilingDuration > 0 {
		longest = min(longest, c.DeltaProfilingDuration)
	}
	if t.seconds = int(longest / time.Second); t.seconds < 1 {
		return fmt.Errorf("%s: %s is too short to profile for a second in it; use at least 2s", model.ScrapeIntervalLabel, t.interval)
	}
	t.timeout += time.Duration(t.seconds) * time.Second
	return nil
}

func duration(lb *labels.Builder, name string) (time.Duration, error) {
	text := lb.Get(name)
	d, err := time.ParseDuration(text)
	if err != nil {
		var days model.Duration // also has days, weeks and years
		days, err = model.ParseDuration(text)
		d = time.Duration(days)
	}
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s: %q is not a duration above 0; write it like 15s", name, text)
	}
	return d, nil
}

// url returns the URL of the profile.
func (c *ScrapeConfig) url(lb *labels.Builder, address string, seconds int) (string, error) {
	scheme := lb.Get(model.SchemeLabel)
	if scheme != "http" && scheme != "https" {
		return "", fmt.Errorf("__scheme__: %q is not known; use http or https", scheme)
	}
	path, err := url.Parse(lb.Get(labelPath))
	if err != nil || path.IsAbs() || path.Host != "" {
		return "", fmt.Errorf("%s: %q is not a path; write it like /debug/pprof/allocs", labelPath, lb.Get(labelPath))
	}
	query := path.Query()
	for name, values := range c.Params {
		query[name] = append([]string(nil), values...)
	}
	lb.Range(func(l labels.Label) {
		name, is := strings.CutPrefix(l.Name, model.ParamLabelPrefix)
		if !is {
			return
		}
		if values := query[name]; len(values) > 0 {
			values[0] = l.Value
		} else {
			query.Set(name, l.Value)
		}
	})
	query.Del(paramSeconds)
	if seconds > 0 {
		query.Set(paramSeconds, strconv.Itoa(seconds))
	}
	u := (&url.URL{Scheme: scheme, Host: address, Path: "/"}).JoinPath(lb.Get(labelPathPrefix), path.Path)
	u.RawQuery = query.Encode()
	return u.String(), nil
}
