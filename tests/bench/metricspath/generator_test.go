package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGenerator(t *testing.T) {
	g := newGenerator(3, 100)
	get := func(ctx context.Context, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
		return w
	}
	first, second := get(t.Context(), path(2)), get(t.Context(), path(2))
	require.Equal(t, http.StatusOK, first.Code)
	require.NotEqual(t, first.Body.String(), second.Body.String())
	require.Equal(t, http.StatusNotFound, get(t.Context(), path(3)).Code)
	require.Equal(t, http.StatusNotFound, get(t.Context(), "/t/x/metrics").Code)
	require.Equal(t, http.StatusNotFound, get(t.Context(), "/metrics").Code)
	require.Equal(t, int64(2), g.scrapes())

	g.hold()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.Empty(t, get(ctx, path(0)).Body.String())
	require.Equal(t, int64(2), g.scrapes())
	g.reset()
	get(t.Context(), path(0))
	require.Equal(t, int64(1), g.scrapes())
}
