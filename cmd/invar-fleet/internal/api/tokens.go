package api

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/bounded/regularfile"
)

// Role says what the owner of a token may do.
type Role string

// A viewer may read the API, an admin may do everything, a collector may only ask for
// its configuration.
const (
	Admin     Role = "admin"
	Viewer    Role = "viewer"
	Collector Role = "collector"
)

// User is the owner of a token.
type User struct {
	Name string
	Role Role
}

// rereadTokens is how often the file of tokens is checked for changes. A token can be
// revoked without a restart.
const rereadTokens = 5 * time.Second

// maxTokenFile is the size limit of the file of tokens, in bytes.
const maxTokenFile = 16 << 20

// Tokens is a file of tokens. It is safe for concurrent use.
type Tokens struct {
	path   string
	logger *zap.Logger

	mu      sync.Mutex
	checked time.Time
	changed time.Time
	size    int64
	users   []tokenUser
}

type tokenUser struct {
	User
	sum [sha256.Size]byte
}

// ReadTokens reads a file with lines "name role token". Empty lines and lines that
// begin with # are ignored. The file is read again when it changes. If it is not valid
// then, the earlier tokens stay in use.
func ReadTokens(path string, logger *zap.Logger) (*Tokens, error) {
	t := &Tokens{path: path, logger: logger}
	if err := t.read(); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Tokens) read() error {
	t.checked = time.Now()
	info, err := os.Stat(t.path)
	if err != nil {
		return fmt.Errorf("token file: %w", err)
	}
	if info.ModTime().Equal(t.changed) && info.Size() == t.size {
		return nil
	}
	var content []byte
	if first := t.users == nil; first && !info.Mode().IsRegular() && !info.IsDir() {
		content, err = os.ReadFile(t.path) // a pipe, as of <(generate), which has it once
	} else {
		content, err = regularfile.Read(t.path, maxTokenFile)
		if !first && errors.Is(err, regularfile.ErrNotRegular) {
			return nil // it was read, and nobody waits for what may come
		}
	}
	if err != nil {
		return fmt.Errorf("token file: %w", err)
	}
	t.changed, t.size = info.ModTime(), info.Size()
	users, err := parseTokens(content)
	if err != nil {
		return fmt.Errorf("token file %s: %w", t.path, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		t.logger.Warn("The token file can be read by others; chmod 600 it", zap.String("file", t.path))
	}
	t.users = users
	return nil
}

var validUser = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$`)

// parseTokens parses the file. Errors do not contain tokens.
func parseTokens(content []byte) ([]tokenUser, error) {
	var users []tokenUser
	var errs []error
	seen := map[[sha256.Size]byte]bool{}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 3 {
			errs = append(errs, fmt.Errorf("line %d: has %d words; write: name role token", n, len(fields)))
			continue
		}
		u := tokenUser{User: User{Name: fields[0], Role: Role(fields[1])}, sum: sha256.Sum256([]byte(fields[2]))}
		switch {
		case !validUser.MatchString(u.Name):
			errs = append(errs, fmt.Errorf("line %d: the name has to be letters, digits and _.@-, at most 64", n))
		case u.Role != Admin && u.Role != Viewer && u.Role != Collector:
			errs = append(errs, fmt.Errorf("line %d: the role of %s is not known; use admin, viewer or collector", n, u.Name))
		case len(fields[2]) < 8:
			errs = append(errs, fmt.Errorf("line %d: the token of %s is shorter than 8 bytes; make one with: openssl rand -hex 24", n, u.Name))
		case seen[u.sum]:
			errs = append(errs, fmt.Errorf("line %d: the token of %s is another's as well; give each its own", n, u.Name))
		}
		seen[u.sum] = true
		users = append(users, u)
	}
	errs = append(errs, lines.Err())
	if len(users) == 0 {
		errs = append(errs, errors.New("has no token; write lines: name role token"))
	}
	return users, errors.Join(errs...)
}

// user returns the owner of a token. It compares all tokens, in constant time.
func (t *Tokens) user(token string) (User, bool) {
	t.mu.Lock()
	if time.Since(t.checked) >= rereadTokens {
		if err := t.read(); err != nil {
			t.logger.Error("Tokens not read again; the ones from before stay", zap.Error(err))
		}
	}
	users := t.users
	t.mu.Unlock()
	sum := sha256.Sum256([]byte(token))
	var found User
	ok := 0
	for _, u := range users {
		if same := subtle.ConstantTimeCompare(sum[:], u.sum[:]); same == 1 {
			found, ok = u.User, 1
		}
	}
	return found, ok == 1
}

// local is every user if there is no token file: the server is on loopback.
var local = User{Name: "local", Role: Admin}

// identify returns who made the request. If basic is set, the token may also be the
// password of basic authentication, as Alloy's remotecfg is often configured.
func (t *Tokens) identify(r *http.Request, basic bool) (User, bool) {
	if t == nil {
		return local, true
	}
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		return t.user(strings.TrimSpace(token))
	}
	if _, password, ok := r.BasicAuth(); ok && basic {
		return t.user(password)
	}
	return User{}, false
}
