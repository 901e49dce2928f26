// A server of the standard library's net/http: GET /health, /, /cpu and /probe.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"
)

// cpuSteps is the same in every stack: about 5 ms of CPython on a current core.
const cpuSteps = 100_000

// minimalStandard is the value of Park and Miller's random number generator after so many steps from 1.
func minimalStandard(steps int) int64 {
	value := int64(1)
	for range steps {
		value = value * 16807 % 2147483647
	}
	return value
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: server ADDRESS:PORT")
	}
	holdMs, err := strconv.Atoi(os.Getenv("WRKLAB_HOLD_MS"))
	if err != nil {
		log.Fatalf("WRKLAB_HOLD_MS: %v", err)
	}
	hold := time.Duration(holdMs) * time.Millisecond

	http.HandleFunc("GET /health", func(answer http.ResponseWriter, _ *http.Request) {
		time.Sleep(hold)
		io.WriteString(answer, "ok")
	})
	http.HandleFunc("GET /{$}", func(answer http.ResponseWriter, _ *http.Request) {
		io.WriteString(answer, "ok")
	})
	http.HandleFunc("GET /cpu", func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(answer, minimalStandard(cpuSteps))
	})
	http.HandleFunc("GET /probe", probe)
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
