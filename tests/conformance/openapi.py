# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI files of TS 29.222: operations, and validators of messages.

OpenAPI 3.0 has its own dialect of JSON Schema draft 4.  References go across
files; what a reference to a file that is not at hand means is not known, so
that anything will do, and it is listed in `missing`.
"""

import os
import re
import warnings

import jsonschema
import yaml

COMMON = 'TS29122_CommonData.yaml'
PROBLEM = 'application/problem+json'
METHODS = ('get', 'put', 'post', 'patch', 'delete')


def find():
    """The folder of the files, or None."""
    named = os.environ.get('CAPIF_OPENAPI_DIR')
    for where in ([named] if named else
                  [os.environ['SOURCE_DIR'] + '/../shared/spec/openapi']):
        if os.path.isdir(where):
            return where
    return None


class Files:
    def __init__(self, where):
        self.docs, self.missing, self.used = {}, set(), set()
        for name in sorted(os.listdir(where)):
            if name.endswith('.yaml'):
                with open(os.path.join(where, name), encoding='utf-8') as f:
                    self.docs[name] = yaml.load(f, yaml.CSafeLoader)

    def follow(self, name, node):
        """The node that a reference in a file means, and its file; None if
        there is none."""
        while isinstance(node, dict) and '$ref' in node:
            target, _, pointer = node['$ref'].partition('#')
            name = target or name
            self.used.add(name)
            here = self.docs.get(name)
            for step in pointer.split('/')[1:]:
                step = step.replace('~1', '/').replace('~0', '~')
                here = here.get(step) if isinstance(here, dict) else None
            if here is None:
                self.missing.add(name + '#' + pointer)
                return name, None
            node = here
        return name, node

    # -- schemas -------------------------------------------------------------

    def schema(self, name, node):
        """One draft 4 schema, with all that it refers to below #/defs."""
        defs = {}
        out = self.translate(name, node, defs)
        return dict(out, defs=defs)

    def translate(self, name, node, defs):
        if isinstance(node, list):
            return [self.translate(name, n, defs) for n in node]
        if not isinstance(node, dict):
            return node
        if isinstance(node.get('$ref'), str):  # its siblings don't count
            return self.reference(name, node, defs)
        out = {}
        for key, value in node.items():
            if key in ('properties', 'patternProperties'):
                out[key] = {k: self.translate(name, v, defs)
                            for k, v in value.items()}
            elif key in ('enum', 'required', 'default', 'example'):
                out[key] = value
            elif key not in ('discriminator', 'nullable'):
                out[key] = self.translate(name, value, defs)
        if node.get('nullable'):
            return {'anyOf': [out, {'enum': [None]}]}
        return out

    def reference(self, name, node, defs):
        target, _, pointer = node['$ref'].partition('#')
        key = re.sub(r'\W', '_', (target or name) + pointer)
        if key not in defs:
            defs[key] = {}  # for a schema that refers to itself
            where, found = self.follow(name, node)
            if found is not None:
                defs[key] = self.translate(where, found, defs)
        return {'$ref': '#/defs/' + key}

    # -- operations ----------------------------------------------------------

    def operations(self, name):
        """{(method, path below the API's root): operation}."""
        return {(m.upper(), path): Operation(self, name, item[m])
                for path, item in self.docs[name]['paths'].items()
                for m in METHODS if m in item}

    def base(self, name):
        return re.sub(r'^\{apiRoot\}', '',
                      self.docs[name]['servers'][0]['url'])


class Operation:
    def __init__(self, files, name, node):
        self.files, self.name, self.node = files, name, node

    def callbacks(self):
        """What is called in turn: {the callback's name: operation}."""
        return {name: Operation(self.files, self.name, item['post'])
                for name, paths in self.node.get('callbacks', {}).items()
                for item in paths.values()}

    def errors(self, schema, value):
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            checker = jsonschema.Draft4Validator(
                self.files.schema(*schema),
                format_checker=jsonschema.FormatChecker())
            return ['/'.join(map(str, e.absolute_path)) + ': ' + e.message
                    for e in checker.iter_errors(value)]

    def media(self, where, content, kind, value):
        if kind not in content:
            return ['media type %s, not %s' % (kind, ', '.join(content))]
        return self.errors((where, content[kind].get('schema', {})), value)

    def request_errors(self, kind, value):
        """What is wrong with a request's body; None is no body."""
        where, body = self.files.follow(
            self.name, self.node.get('requestBody', {}))
        if not body:
            return [] if value is None else ['a body']
        if value is None:
            return ['no body'] if body.get('required') else []
        return self.media(where, body['content'], kind, value)

    def response(self, status):
        """Its file and node, by status or default."""
        nodes = self.node['responses']
        node = nodes.get(str(status), nodes.get('default'))
        return self.files.follow(self.name, node)

    def answer_errors(self, status, headers, value):
        """What is wrong with an answer; value None is no body."""
        if str(status) not in self.node['responses'] and status < 400:
            return ['status %d' % status]
        where, node = self.response(status)
        out = ['no header ' + h for h, v in node.get('headers', {}).items()
               if v.get('required') and h not in headers]
        content = node.get('content')
        if status >= 400 and not content:  # as the others have it
            where, content = COMMON, {PROBLEM: {'schema': {
                '$ref': '#/components/schemas/ProblemDetails'}}}
        kind = headers.get('Content-Type')
        if value is None:
            if content:
                out.append('no body')
        elif content:
            out += self.media(where, content, kind, value)
        elif status < 400:
            out.append('a body')
        return out

    def query_errors(self, query):
        params = {}
        for node in self.node.get('parameters', []):
            where, p = self.files.follow(self.name, node)
            if p['in'] == 'query':
                params[p['name']] = (where, p)
        out = ['no parameter ' + n for n, (_, p) in params.items()
               if p.get('required') and n not in query]
        return out + ['unknown parameter ' + n for n in query
                      if n not in params and not n.startswith('vs-')]
