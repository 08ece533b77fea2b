package host

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"flowgrpo/reward"
	"flowgrpo/reward/wire"
)

var httpDoc = reward.KindDoc{
	Kind:    "http",
	Summary: "A service somewhere else; see docs/rewards.md.",
	Params: append([]reward.ParamDoc{
		{Key: "url", Default: "", Summary: `its address, such as "http://gpu7:8000"`},
		{Key: "encoding", Default: `"json"`, Summary: `"json" or "proto"`},
		{Key: "token_env", Default: "", Summary: "name of the variable of the environment with the token"},
		{Key: "token_file", Default: "", Summary: "file with the token"},
	}, settingDocs...),
}

func newHTTP(name string, p *reward.Params, deps reward.Deps) (reward.Reward, error) {
	common, err := readSettings(name, p)
	if err != nil {
		return nil, err
	}
	address, encoding := p.String("url", ""), p.String("encoding", "json")
	variable, file := p.String("token_env", ""), p.String("token_file", "")
	if err := p.Err(); err != nil {
		return nil, err
	}
	base, err := readURL(address)
	if err != nil {
		return nil, err
	}
	token, err := readToken(variable, file)
	if err != nil {
		return nil, err
	}
	codec, err := wire.NewCodec(encoding)
	if err != nil {
		return nil, err
	}
	return open(common, deps, restarts, func(ctx context.Context) (*conn, error) {
		c := &conn{client: newClient(base, "", token, codec, common.maxReply)}
		if err := c.load(ctx, &common); err != nil {
			c.close()
			return nil, err
		}
		return c, nil
	})
}

// readURL returns the address without a slash at its end.
func readURL(address string) (string, error) {
	if address == "" {
		return "", errors.New(`url is missing; it is an address such as "http://gpu7:8000"`)
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("url is not an address") // which may hold a secret
	}
	switch {
	case u.User != nil:
		return "", errors.New("url holds a name or password; use token_env or token_file")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", fmt.Errorf("url is %q, want http://HOST:PORT or https://HOST", address)
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("url has a query or a fragment, which is not part of an address")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func readToken(variable, file string) (string, error) {
	var token string
	switch {
	case variable != "" && file != "":
		return "", errors.New("token_env and token_file are two sources of one token; give one")
	case variable != "":
		if token = os.Getenv(variable); token == "" {
			return "", fmt.Errorf("token_env: the variable %s is not set", variable)
		}
	case file != "":
		data, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("token_file: %w", err)
		}
		if token = strings.TrimSpace(string(data)); token == "" {
			return "", fmt.Errorf("token_file: %s is empty", file)
		}
	}
	for _, c := range token {
		if c <= ' ' || c > '~' {
			return "", errors.New("the token holds characters that a header cannot")
		}
	}
	return token, nil
}
