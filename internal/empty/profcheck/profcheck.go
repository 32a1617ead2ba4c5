// Package profcheck is empty
package profcheck
