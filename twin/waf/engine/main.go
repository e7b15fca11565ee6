// The engine of the twin's managed rules: answers, for each request that the edge shows it, which
// rules of the OWASP core ruleset match.
//
//	payments-waf DESCRIPTOR
//
// It speaks over the one socket that it inherits, and ends when the other side of that is closed:
// nothing listens anywhere, and it cannot outlive the twin. A frame is its length (4 bytes,
// big-endian, counting what follows), an id (4 bytes) and a payload. The first frame, id 0, comes
// from here once the rules are read. A request's payload is a list of byte strings, each behind its
// length (4 bytes): variables (JSON), client, method, target, protocol, body, then header names and
// values in turn. The answer has the request's id and a verdict as JSON; the order is free.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
)

const (
	longestFrame = 8 << 20
	wordSize     = 4
)

type hello struct {
	Engine  string `json:"engine"`
	Ruleset string `json:"ruleset"`
	Rules   int    `json:"rules"`
}

type replies struct {
	lock   sync.Mutex
	stream io.Writer
}

type requests struct {
	lock   sync.Mutex
	stream *bufio.Reader
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: payments-waf DESCRIPTOR (it is started by the twin)")
		os.Exit(2)
	}
	descriptor, err := strconv.ParseUint(os.Args[1], 10, 16)
	if err == nil {
		// Else whoever waits for the next request keeps a processor from those who judge.
		err = syscall.SetNonblock(int(descriptor), true)
	}
	if err == nil {
		err = serve(os.NewFile(uintptr(descriptor), "edge"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "waf:", err)
		os.Exit(1)
	}
}

func serve(edge *os.File) error {
	rules, known, err := newFirewall()
	if err != nil {
		return fmt.Errorf("the rules cannot be read: %w", err)
	}
	answers := &replies{stream: edge}
	if err := answers.send(0, greeting(known)); err != nil {
		return err
	}
	// Whoever has read a request also judges it: handing it to a sleeping thread costs more than
	// reading does. Their number bounds what is in memory at once.
	reader := &requests{stream: bufio.NewReaderSize(edge, 64<<10)}
	ended := make(chan error)
	for range 2 * runtime.GOMAXPROCS(0) {
		go func() { ended <- work(rules, reader, answers) }()
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// work judges one request after the other; returns why there are no more, io.EOF in the end.
func work(rules firewall, reader *requests, answers *replies) error {
	for {
		id, fields, err := reader.next()
		if err != nil {
			return err
		}
		if err := answers.send(id, answer(rules, fields)); err != nil {
			fmt.Fprintln(os.Stderr, "waf:", err)
		}
	}
}

func (reader *requests) next() (uint32, [][]byte, error) {
	reader.lock.Lock()
	defer reader.lock.Unlock()
	return read(reader.stream)
}

func answer(rules firewall, fields [][]byte) verdict {
	asked, err := parse(fields)
	if err != nil {
		return verdict{Rules: []match{}, Error: err.Error()}
	}
	return inspect(rules, asked)
}

func greeting(rules int) hello {
	versions := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			versions[module.Path] = module.Version
		}
	}
	return hello{
		Engine:  "Coraza " + versions["github.com/corazawaf/coraza/v3"],
		Ruleset: "OWASP CRS " + versions["github.com/corazawaf/coraza-coreruleset/v4"],
		Rules:   rules,
	}
}

// read takes one frame. io.EOF stands for an end between two frames only.
func read(reader *bufio.Reader) (uint32, [][]byte, error) {
	head := make([]byte, 2*wordSize)
	if _, err := io.ReadFull(reader, head); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head)
	if length < wordSize || length > longestFrame {
		return 0, nil, fmt.Errorf("a frame of %d bytes", length)
	}
	payload := make([]byte, length-wordSize)
	if _, err := io.ReadFull(reader, payload); err != nil {
		return 0, nil, fmt.Errorf("a frame broke off: %w", err)
	}
	var fields [][]byte
	for len(payload) > 0 {
		if len(payload) < wordSize {
			return 0, nil, errors.New("a field broke off")
		}
		size := binary.BigEndian.Uint32(payload)
		payload = payload[wordSize:]
		if uint64(size) > uint64(len(payload)) {
			return 0, nil, errors.New("a field is longer than its frame")
		}
		fields = append(fields, payload[:size])
		payload = payload[size:]
	}
	return binary.BigEndian.Uint32(head[wordSize:]), fields, nil
}

func (answers *replies) send(id uint32, content any) error {
	payload, err := json.Marshal(content)
	if err != nil {
		return err
	}
	frame := make([]byte, 0, 2*wordSize+len(payload))
	frame = binary.BigEndian.AppendUint32(frame, uint32(wordSize+len(payload)))
	frame = binary.BigEndian.AppendUint32(frame, id)
	frame = append(frame, payload...)
	answers.lock.Lock()
	defer answers.lock.Unlock()
	_, err = answers.stream.Write(frame)
	return err
}
