package redaction

import (
	"regexp"
	"strings"
)

var (
	// userinfo is what stands before the host of a URL. What follows the last @
	// of the authority is the host, as in net/url.
	userinfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)([^/?#\s"'<>\\]*)@`)
	// leadingUserinfo is the same of an address without a scheme.
	leadingUserinfo = regexp.MustCompile(`^([^\s:@/]+):([^\s/]+)@`)
	// pair is a parameter of a URL, or a part of a connection string.
	pair = regexp.MustCompile(`([?&]?)([A-Za-z][A-Za-z0-9_.-]*)(=|%3D)(\$\{[^}]*\}[^\s;&"'<>)}\]]*|"[^"]*"|'[^']*'|[^=\s;&,"'<>)}\]][^\s;&"'<>)}\]]*)`)
	// member is one of a JSON object, in a text that may be quoted.
	member = regexp.MustCompile(`(\\?"([A-Za-z0-9_.-]+)\\?"\s*:\s*\\?")([^"\\]*)`)
	// authorization is the header in an error or a dump.
	authorization = regexp.MustCompile(`(?i)\b((?:proxy-)?authorization["']?\s*[:=]\s*\[?["']?)((?:(?:bearer|basic|digest|token|apikey)\s+)?[^\s"',\]]+)`)
	bearer        = regexp.MustCompile(`(?i)\b(bearer\s+)([A-Za-z0-9._~+/-]{12,}=*)`)
	jwt           = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*`)
	privateKey    = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|$)`)
)

// patterns masks what looks like a secret wherever it is: passwords in URLs and
// connection strings, parameters and headers with telling names, private keys.
func patterns(text string) string {
	if strings.Contains(text, "://") && strings.Contains(text, "@") {
		text = userinfo.ReplaceAllStringFunc(text, func(found string) string {
			m := userinfo.FindStringSubmatch(found)
			return m[1] + maskUserinfo(m[2]) + "@"
		})
	}
	if strings.Contains(text, "=") || strings.Contains(text, "%3D") {
		text = pair.ReplaceAllStringFunc(text, func(found string) string {
			m := pair.FindStringSubmatch(found)
			secret := isSecretName(m[2]) || m[1] != "" && isSecretParameter(m[2])
			if !secret || onlyReferences(m[4]) || isMask(m[4]) {
				return found
			}
			return m[1] + m[2] + m[3] + Mask
		})
	}
	if strings.Contains(text, `":`) || strings.Contains(text, `" :`) {
		text = member.ReplaceAllStringFunc(text, func(found string) string {
			m := member.FindStringSubmatch(found)
			if !isSecretName(m[2]) || m[3] == "" {
				return found
			}
			return m[1] + Mask
		})
	}
	if len(text) < 12 {
		return text
	}
	text = authorization.ReplaceAllStringFunc(text, func(found string) string {
		m := authorization.FindStringSubmatch(found)
		if onlyReferences(m[2]) || isMask(m[2]) || isMask("["+m[2]) {
			return found
		}
		return m[1] + Mask
	})
	text = bearer.ReplaceAllString(text, "${1}"+Mask)
	text = jwt.ReplaceAllString(text, Mask)
	return privateKey.ReplaceAllString(text, Mask)
}

// isMask reports whether what was found is a mask, perhaps without its end.
func isMask(text string) bool { return strings.HasPrefix(text, Mask[:len(Mask)-1]) }

// leaf is what patterns is for a value of a configuration: a value may be nothing
// but an address with a user's name and password.
func leaf(text string) string {
	if m := leadingUserinfo.FindStringSubmatchIndex(text); m != nil && !strings.HasPrefix(text[m[4]:], "//") && !onlyReferences(text[m[4]:m[5]]) {
		text = text[:m[4]] + Mask + text[m[5]:]
	}
	return patterns(text)
}

// maskUserinfo keeps a user's name beside a password. Alone it may be a token.
func maskUserinfo(info string) string {
	user, password, both := strings.Cut(info, ":")
	switch {
	case info == "" || onlyReferences(info):
		return info
	case !both || password == "":
		return Mask
	case onlyReferences(password):
		return info
	}
	return user + ":" + Mask
}

// reference is ${…}, of a variable or of a group of a regular expression, without a
// default: that would be a value.
var (
	reference = regexp.MustCompile(`\$\{([A-Za-z0-9_]+|env:[A-Za-z_][A-Za-z0-9_]*|file:[^${}]+)\}`)
	// withDefault is one that has one.
	withDefault = regexp.MustCompile(`^\$\{((?:env:)?[A-Za-z_][A-Za-z0-9_]*):-[^${}]*\}$`)
	// scheme is what may stand before a reference: it is no secret.
	scheme = regexp.MustCompile(`(?i)^\s*(bearer|basic|digest|token|apikey|api-key|splunk)?\s*$`)
)

// onlyReferences reports whether a text tells where a secret is, and not what it
// is: ${env:TOKEN}, or Bearer ${env:TOKEN}. An escaped $${TOKEN} is a text.
func onlyReferences(text string) bool {
	if !strings.Contains(text, "${") || strings.Contains(text, "$$") {
		return false
	}
	return scheme.MatchString(reference.ReplaceAllString(text, ""))
}

// masked is a secret as it is shown.
func masked(text string) string {
	if text == "" || onlyReferences(text) {
		return text
	}
	if m := withDefault.FindStringSubmatch(text); m != nil {
		return "${" + m[1] + ":-" + Mask + "}"
	}
	return Mask
}
