package collector

import (
	"regexp"

	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/confmap"
)

// reference is a value that is nothing but a ${…}.
var reference = regexp.MustCompile(`^\$\{[^}]*\}$`)

// redactLike hides in the configuration as written what the effective one
// hides: values of configopaque.String, which are marshaled as a mask. A
// reference stays, it tells where a secret is and not what it is.
func redactLike(written, effective *confmap.Conf) *confmap.Conf {
	if written == nil {
		return nil
	}
	mask, err := configopaque.String("secret").MarshalText()
	if err != nil {
		return nil // show nothing rather than too much
	}
	redacted := hide(written.ToStringMap(), effective.ToStringMap(), string(mask))
	return confmap.NewFromStringMap(redacted.(map[string]any))
}

func hide(written, effective any, mask string) any {
	switch e := effective.(type) {
	case map[string]any:
		w, ok := written.(map[string]any)
		if !ok {
			return written
		}
		out := make(map[string]any, len(w))
		for k, v := range w {
			out[k] = hide(v, e[k], mask)
		}
		return out
	case []any:
		w, ok := written.([]any)
		if !ok {
			return written
		}
		out := make([]any, len(w))
		for i, v := range w {
			if i < len(e) {
				v = hide(v, e[i], mask)
			}
			out[i] = v
		}
		return out
	case string:
		text, ok := written.(string)
		if e == mask && (!ok || !reference.MatchString(text)) {
			return mask
		}
	}
	return written
}
