package redaction

import (
	"regexp"
	"strings"
)

var (
	// userinfo matches the part of a URL before the host. The host follows the
	// last @ of the authority, as in net/url.
	userinfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)([^/?#\s"'<>\\]*)@`)
	// leadingUserinfo does the same for an address without a scheme.
	leadingUserinfo = regexp.MustCompile(`^([^\s:@/]+):([^\s/]+)@`)
	// pair matches a parameter of a URL or a part of a connection string.
	pair = regexp.MustCompile(`([?&]?)([A-Za-z][A-Za-z0-9_.-]*)(=|%3D)(\$\{[^}]*\}[^\s;&"'<>)}\]]*|"[^"]*"|'[^']*'|[^=\s;&,"'<>)}\]][^\s;&"'<>)}\]]*)`)
	// member matches a member of a JSON object, in a text that may be quoted.
	member = regexp.MustCompile(`(\\?"([A-Za-z0-9_.-]+)\\?"\s*:\s*\\?")([^"\\]*)`)
	// authorization matches the header in an error or a dump.
	authorization = regexp.MustCompile(`(?i)\b((?:proxy-)?authorization["']?\s*[:=]\s*\[?["']?)((?:(?:bearer|basic|digest|token|apikey)\s+)?[^\s"',\]]+)`)
	bearer        = regexp.MustCompile(`(?i)\b(bearer\s+)([A-Za-z0-9._~+/-]{12,}=*)`)
	jwt           = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*`)
	privateKey    = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|$)`)
)

// patterns masks whatever looks like a secret: passwords in URLs and connection
// strings, parameters and headers with the name of a secret, private keys.
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

// isMask reports whether text is a mask, which may lack its last character.
func isMask(text string) bool { return strings.HasPrefix(text, Mask[:len(Mask)-1]) }

// leaf is patterns for a whole value of a configuration, which may be an address
// with user name and password but without a scheme.
func leaf(text string) string {
	if m := leadingUserinfo.FindStringSubmatchIndex(text); m != nil && !strings.HasPrefix(text[m[4]:], "//") && !onlyReferences(text[m[4]:m[5]]) {
		text = text[:m[4]] + Mask + text[m[5]:]
	}
	return patterns(text)
}

// maskUserinfo masks the password and keeps the user name. A user name without a
// password may be a token and is masked.
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

var (
	// reference matches a ${…} without a default, for a variable, a file, or a
	// group of a regular expression. A default would be a value.
	reference = regexp.MustCompile(`\$\{([A-Za-z0-9_]+|env:[A-Za-z_][A-Za-z0-9_]*|file:[^${}]+)\}`)
	// withDefault matches a ${…} with a default.
	withDefault = regexp.MustCompile(`^\$\{((?:env:)?[A-Za-z_][A-Za-z0-9_]*):-[^${}]*\}$`)
	// scheme matches what may precede a reference and is not secret.
	scheme = regexp.MustCompile(`(?i)^\s*(bearer|basic|digest|token|apikey|api-key|splunk)?\s*$`)
)

// onlyReferences reports whether a text only refers to a secret, as
// ${env:TOKEN} or Bearer ${env:TOKEN} do. An escaped $${TOKEN} is plain text.
func onlyReferences(text string) bool {
	if !strings.Contains(text, "${") || strings.Contains(text, "$$") {
		return false
	}
	return scheme.MatchString(reference.ReplaceAllString(text, ""))
}

// masked returns the form of a secret that may be shown.
func masked(text string) string {
	if text == "" || onlyReferences(text) {
		return text
	}
	if m := withDefault.FindStringSubmatch(text); m != nil {
		return "${" + m[1] + ":-" + Mask + "}"
	}
	return Mask
}
