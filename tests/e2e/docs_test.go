package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestDocumentedConfigs validates every configuration in the documentation. A block
// without receivers is merged over the default configuration.
func TestDocumentedConfigs(t *testing.T) {
	t.Parallel()
	root := harness.Root(t)
	var paths []string
	for _, pattern := range []string{"README.md", "docs/*.md", "*/*/README.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		paths = append(paths, found...)
	}
	checked := 0
	for _, path := range paths {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, block := range yamlBlock.FindAllStringSubmatch(string(content), -1) {
			config := strings.ReplaceAll(block[1], "/var/lib/invar", t.TempDir())
			if !strings.Contains(config, "pipelines:") {
				continue
			}
			args := []string{"validate"}
			if !strings.Contains(config, "receivers:\n  ") {
				args = append(args, "--config", "builtin:default")
			}
			out, status := run(t, harness.Options{Args: append(args, "--config", "yaml:"+config)})
			require.Equal(t, 0, status, "%s: %s\n%s", path, out, config)
			checked++
		}
	}
	require.GreaterOrEqual(t, checked, 3)
}
