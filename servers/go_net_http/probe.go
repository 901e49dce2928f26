package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// probe answers GET /probe?id=NUMBER&until=EPOCH_S with `ok` at that time, and notes start and finish.
func probe(answer http.ResponseWriter, request *http.Request) {
	query := request.URL.Query()
	id, idError := strconv.Atoi(query.Get("id"))
	until, untilError := strconv.ParseFloat(query.Get("until"), 64)
	if idError != nil || untilError != nil {
		http.Error(answer, "GET /probe?id=NUMBER&until=EPOCH_S", http.StatusBadRequest)
		return
	}
	note("S", id)
	defer note("F", id)
	time.Sleep(time.Until(time.UnixMicro(int64(until * 1e6))))
	io.WriteString(answer, "ok")
}

// note tells the probe that a handler starts (S) or finishes (F), by one write(2); docs/probe.md has the format.
// A goroutine has no thread of its own: thread number and serial are 0.
func note(mark string, id int) {
	now := float64(time.Now().UnixMicro()) / 1e6
	fmt.Fprintf(os.Stderr, "wrklab-probe %s %d %d 0 0 %.6f loop\n", mark, id, os.Getpid(), now)
}
