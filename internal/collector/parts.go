package collector

import (
	"reflect"
	"strings"
)

// maxDepth bounds the recursion: structs of other libraries may be circular.
const maxDepth = 24

// visitParts calls visit with the key path of every struct in a component's
// configuration and a pointer to it. It skips parts that are turned off: a
// configoptional that is None or Default, and a struct whose key enabled is false.
//
// Unlike configwalk, it skips fields that mapstructure does not decode, and leaves
// the index of a list's item out of the path.
func visitParts(path string, config any, visit func(path string, part any)) {
	visitValue(path, reflect.ValueOf(config), visit, maxDepth)
}

func visitValue(path string, v reflect.Value, visit func(string, any), depth int) {
	if depth == 0 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			visitValue(path, v.Elem(), visit, depth-1)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			visitValue(path, v.Index(i), visit, depth-1)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			visitValue(path+"::"+keyText(k), v.MapIndex(k), visit, depth-1)
		}
	case reflect.Struct:
		if !v.CanAddr() { // in a map or an interface
			c := reflect.New(v.Type()).Elem()
			c.Set(v)
			v = c
		}
		visitStruct(path, v, visit, depth)
	default:
	}
}

func visitStruct(path string, v reflect.Value, visit func(string, any), depth int) {
	if inner, isOptional := optional(v); isOptional {
		if inner.IsValid() {
			visitValue(path, inner, visit, depth-1)
		}
		return
	}
	if enabled := v.FieldByName("Enabled"); enabled.IsValid() && enabled.Kind() == reflect.Bool && !enabled.Bool() {
		return
	}
	visit(path, v.Addr().Interface())
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("mapstructure"), ",")
		switch {
		case name == "-":
			continue
		case name == "" && (f.Anonymous || strings.Contains(options, "squash")):
			visitValue(path, v.Field(i), visit, depth-1)
		case name == "":
			visitValue(path+"::"+strings.ToLower(f.Name), v.Field(i), visit, depth-1)
		default:
			visitValue(path+"::"+name, v.Field(i), visit, depth-1)
		}
	}
}

// optional returns the value of a configoptional.Optional of any type, invalid if it
// has none.
func optional(v reflect.Value) (inner reflect.Value, isOptional bool) {
	if !strings.HasPrefix(v.Type().Name(), "Optional[") || !strings.HasSuffix(v.Type().PkgPath(), "/configoptional") {
		return reflect.Value{}, false
	}
	get := v.Addr().MethodByName("Get").Call(nil)[0]
	if get.IsNil() {
		return reflect.Value{}, true
	}
	return get, true
}

func keyText(k reflect.Value) string {
	if k.Kind() == reflect.String {
		return k.String()
	}
	if s, ok := k.Interface().(interface{ String() string }); ok {
		return s.String()
	}
	return k.Type().String()
}
