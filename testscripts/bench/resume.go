package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// kept is a row that was measured, in a file.
type kept struct {
	Program string // SHA-256 of it
	Rounds  int
	Load    string
	Samples [][]keptSample
}

type keptSample struct {
	Wall, CPU       time.Duration
	Memory, Written int64
}

var notInNames = regexp.MustCompile("[^a-zA-Z0-9]+")

// runOnce measures a row, or takes what was measured of it before: a run that was interrupted goes on.
func (b *bench) runOnce(ctx context.Context, r *row) error {
	path := filepath.Join(b.dir, "taken", notInNames.ReplaceAllString(r.name, "-")+".json")
	id, err := sumOf(b.program)
	if err != nil {
		return err
	}
	if b.resume {
		if ok, err := b.take(ctx, r, path, id); ok || err != nil {
			return err
		}
	}
	if err := b.run(ctx, r); err != nil {
		return err
	}
	res := b.taken[len(b.taken)-1]
	k := kept{Program: id, Rounds: b.rounds, Load: res.load}
	for _, list := range res.samples {
		var all []keptSample
		for _, s := range list {
			all = append(all, keptSample{s.wall, s.cpu, s.memory, s.written})
		}
		k.Samples = append(k.Samples, all)
	}
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// sumOf is the SHA-256 of a file. What this process takes of memory counts for its children until they are programs.
func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// take takes a row of the same program and as many rounds.
func (b *bench) take(ctx context.Context, r *row, path, id string) (bool, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	var k kept
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	if err != nil || k.Program != id || k.Rounds != b.rounds {
		return false, err
	}
	if err := r.ready(ctx); err != nil { // who takes part is known then
		return false, err
	}
	if r.done != nil {
		if err := r.done(); err != nil {
			return false, err
		}
	}
	if len(k.Samples) != len(r.who) {
		return false, nil
	}
	res := result{row: *r, samples: make([][]sample, len(r.who)), load: k.Load}
	for i, list := range k.Samples {
		for _, s := range list {
			res.samples[i] = append(res.samples[i], sample{s.Wall, s.CPU, s.Memory, s.Written})
		}
	}
	b.taken = append(b.taken, res)
	return true, nil
}
