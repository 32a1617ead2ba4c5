// Package configwalk walks decoded configurations by their keys, which it derives
// from mapstructure tags and, for Prometheus' types, from yaml tags.
package configwalk

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/confmap"
)

// maxDepth bounds the walk. Real configurations are about 20 values deep, including
// pointers and interfaces.
const maxDepth = 100

// Key is one part of a key's path.
type Key struct {
	Name string // of a field or a map's entry, or the decimal index of an item
	Item bool   // an item of a list
	Free bool   // an entry of a map: the user chose the name
}

// Path is the position of a value in a component's configuration.
type Path []Key

// String returns the path as users write it, like "::protocols::grpc". It is empty
// for the root.
func (p Path) String() string {
	var b strings.Builder
	for _, k := range p {
		b.WriteString(confmap.KeyDelimiter)
		b.WriteString(k.Name)
	}
	return b.String()
}

// Visit is called for a value and reports whether to walk into it. Pointers,
// interfaces and optional values are replaced by what they contain, and skipped if
// they contain nothing. path is valid during the call only. v may be of an
// unexported type, but its text can be read.
type Visit func(path Path, v reflect.Value) bool

// Walk visits the configuration of a component: outer values before inner ones,
// fields in order, and entries of maps in the order of their keys. It does not walk
// into values without keys, such as compiled expressions, nor into unexported fields.
// It does not modify the configuration.
func Walk(config any, visit Visit) {
	walker{visit}.walk(reflect.ValueOf(config), make(Path, 0, 16), 0)
}

type walker struct{ visit Visit }

func (w walker) walk(v reflect.Value, path Path, depth int) {
	if depth > maxDepth || !v.IsValid() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			w.walk(v.Elem(), path, depth+1)
		}
		return
	case reflect.Struct:
		if inner, is := optional(v); is {
			w.walk(inner, path, depth+1)
			return
		}
	}
	if !w.visit(path, v) {
		return
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		w.items(v, path, depth)
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		for _, key := range keys {
			w.walk(v.MapIndex(key), append(path, Key{Name: fmt.Sprint(key), Free: true}), depth+1)
		}
	case reflect.Struct:
		w.fields(v, path, depth)
	}
}

func (w walker) items(v reflect.Value, path Path, depth int) {
	if v.Type() == reflect.TypeFor[configopaque.MapList]() {
		// Users write it as a map, or as a list of names and values.
		for i := range v.Len() {
			pair := v.Index(i)
			w.walk(pair.FieldByName("Value"), append(path, Key{Name: pair.FieldByName("Name").String(), Free: true}), depth+1)
		}
		return
	}
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return
	}
	for i := range v.Len() {
		w.walk(v.Index(i), append(path, Key{Name: strconv.Itoa(i), Item: true}), depth+1)
	}
}

func (w walker) fields(v reflect.Value, path Path, depth int) {
	if opaque(v.Type()) {
		return
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() && !field.Anonymous {
			continue
		}
		if name, inline := Tag(field); inline {
			w.walk(v.Field(i), path, depth+1)
		} else {
			w.walk(v.Field(i), append(path, Key{Name: name}), depth+1)
		}
	}
}

// opaque reports whether the fields of a struct are not keys.
func opaque(t reflect.Type) bool {
	switch t.PkgPath() {
	case "net/url", "regexp", "regexp/syntax", "time", "crypto/tls", "github.com/prometheus/prometheus/model/labels":
		return true
	}
	return false
}

// Tag returns the key of a struct's field. Without a tag, it is the field's name in
// lower case. inline reports whether the value's keys are on the same level.
func Tag(field reflect.StructField) (name string, inline bool) {
	tag, tagged := field.Tag.Lookup("mapstructure")
	if !tagged {
		tag = field.Tag.Get("yaml")
	}
	name, options, _ := strings.Cut(tag, ",")
	for option := range strings.SplitSeq(options, ",") {
		if option == "squash" || option == "inline" || option == "remain" {
			return "", true
		}
	}
	if field.Anonymous && name == "" {
		return "", true
	}
	if name == "" || name == "-" {
		name = strings.ToLower(field.Name)
	}
	return name, false
}

// optional returns the content of a configoptional.Optional of any type, which is
// an invalid or nil value if it is empty, and whether v is one.
func optional(v reflect.Value) (reflect.Value, bool) {
	if !strings.HasPrefix(v.Type().Name(), "Optional[") || !v.CanInterface() {
		return reflect.Value{}, false
	}
	holder := reflect.New(v.Type())
	holder.Elem().Set(v)
	get := holder.MethodByName("Get")
	if !get.IsValid() || get.Type().NumIn() != 0 || get.Type().NumOut() != 1 {
		return reflect.Value{}, false
	}
	return get.Call(nil)[0], true
}

// Text returns the text of a string of any type or of a URL, and whether v is one.
func Text(v reflect.Value) (string, bool) {
	if v.Kind() == reflect.String {
		return v.String(), true
	}
	if v.Kind() == reflect.Struct && v.CanInterface() {
		if u, is := v.Interface().(url.URL); is {
			return u.String(), true
		}
	}
	return "", false
}
