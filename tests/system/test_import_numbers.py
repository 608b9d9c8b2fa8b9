# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that fairlead-agent import reads numbers, and words without quotes, as kubectl and the controllers do; or refuses them
where it is not known what was meant."""
import pytest
import yaml

from test_import_resources import refused
from test_tools import tool
from translation import LABELS, linkerd


def text_of(resource, word):
    """The word stands in place of the text PORT."""
    return yaml.safe_dump(resource).replace('PORT', word)


def server(name='api', port=8080, **spec):
    return linkerd('Server', {'podSelector': {'matchLabels': {'app': 'api'}}, 'port': port, **spec}, name)


def everybody(name='api', port=8080, **spec):
    return server(name, port, accessPolicy='all-unauthenticated', **spec)


@pytest.mark.parametrize('value', ['!!str 8080', '! 8080', '!<tag:yaml.org,2002:str> 8080', '&x !!str 8080'])
def test_tag_that_makes_a_text_of_a_number__is_refused(tmp_path, value):
    assert refused(tmp_path, text_of(everybody(port='PORT'), value), 'tag')


def test_tag_that_changes_nothing__is_read(tmp_path):
    source = tmp_path / 'in.yaml'
    source.write_text(text_of(everybody(port='PORT'), '8080').replace('name: api', 'name: !!str "api"').replace(
        'metadata:', 'metadata: !!map'))
    assert '!!' in source.read_text()
    status, out, err = tool('import', source, *LABELS)
    assert (status, err) == (0, '') and '[allow api]' in out


# What `<<` stands for replaces the keys before it, says kubectl; it does not, says YAML.
def test_merge_key_behind_the_same_key__is_refused(tmp_path):
    base = 'base: &base {action: DENY, rules: [{}]}\n'
    head = 'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: prod}\n'
    for spec in ('{action: ALLOW, <<: *base}', '{action: ALLOW, <<: [{x: 1}, *base]}', '{rules: [], <<: {<<: *base}}'):
        assert refused(tmp_path, f'{head}{base}spec: {spec}\n', 'write `<<` first')
    source = tmp_path / 'first.yaml'
    for spec, rule in (('{<<: *base, action: ALLOW}', '[allow p]'), ('{selector: {}, <<: *base}', '[deny p]'),
                       ('{<<: [{action: ALLOW}, *base], rules: [{}]}', '[allow p]')):
        source.write_text(f'{head}{base}spec: {spec}\n')
        status, out, err = tool('import', source, *LABELS)
        assert (status, err) == (0, '') and rule in out, out


def test_merge_key_in_quotes__is_a_key_like_any_other(tmp_path):
    source = tmp_path / 'in.json'
    source.write_text('{"apiVersion": "policy.linkerd.io/v1beta3", "kind": "Server", "metadata": {"name": "api", "namespace": "prod"}, "spec": '
                      '{"podSelector": {}, "port": 8080, "<<": {"accessPolicy": "all-unauthenticated"}}}')
    status, out, err = tool('import', source)
    assert status == 1 and '`<<`' in err and '[allow' not in out
