import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { translateHttpProxy } from '../../../src/cli/drop-ins/vpnkit/http-proxy.ts';
import {
  proxyRules,
  readProxyDocument,
  shownProxies,
} from '../../../src/network/upstream-proxy/proxy-document.ts';
import { type ProxyServer, proxyText } from '../../../src/services/upstream-proxy/proxy-server.ts';

type Env = NodeJS.ProcessEnv;
const rulesOf = (document: object, env: Env = {}): ReturnType<typeof proxyRules> =>
  proxyRules(readProxyDocument(document), env);
const text = (server: ProxyServer | undefined): string => (server ? proxyText(server) : '-');

const H = 'http://p.test:3128';
const S = 'socks5://s.test:1080';
const ROWS: readonly (readonly [
  upstreamProxy: string | readonly string[],
  expected: string,
  env?: Env,
])[] = [
  [[], '-'],
  [H, `${H} ${H} -`],
  [S, `${S} ${S} ${S}`],
  [`https=${H}`, `- ${H} -`],
  [[S, `http=${H}`], `${H} ${S} ${S}`],
  [[H, 'https=http://q.test:1'], `${H} http://q.test:1 -`],
  ['env', '-'],
  ['env', `${H} - -`, { http_proxy: H, HTTP_PROXY: 'http://evil.test:1' }],
  ['env', `- ${H} -`, { HTTPS_PROXY: H }],
  ['env', `${H} ${S} ${S}`, { http_proxy: H, all_proxy: S }],
  [['env', H], `${H} ${H} -`, {}],
];

describe('network/upstream-proxy: which proxies are for what', () => {
  for (const [upstreamProxy, expected, env] of ROWS) {
    it(`${JSON.stringify(upstreamProxy)} ${JSON.stringify(env ?? {})} is ${expected}`, () => {
      const rules = rulesOf({ upstreamProxy }, env);
      const got =
        rules === undefined ? '-' : [rules.http, rules.https, rules.other].map(text).join(' ');
      assert.equal(got, expected);
    });
  }

  it('excludes what the document says, and the environment where that is used', () => {
    const env = { http_proxy: H, no_proxy: 'a.test,10.0.0.0/8' };
    const rules = rulesOf({ upstreamProxy: 'env', proxyExclude: 'b.test' }, env);
    assert.deepEqual(
      ['a.test', 'b.test', '10.1.1.1', 'c.test'].map((name) => rules?.exclude.hasName(name, 80)),
      [true, true, true, false],
    );
    assert.equal(rulesOf({ upstreamProxy: H }, env)?.exclude.hasName('a.test', 80), false);
  });

  it('has only the proxy resolve names with socks5h, or as it is said', () => {
    const resolves = (document: object): boolean | undefined => rulesOf(document)?.resolvesNames;
    assert.equal(resolves({ upstreamProxy: S }), false);
    assert.equal(resolves({ upstreamProxy: 'socks5h://s.test' }), true);
    assert.equal(resolves({ upstreamProxy: 'socks5h://s.test', proxyNames: 'host' }), false);
    assert.equal(resolves({ upstreamProxy: H, proxyNames: 'proxy' }), true);
  });

  it('has user name and password of a file, where the URL has none', () => {
    const dir = mkdtempSync(join(tmpdir(), 'hawser-proxy-'));
    try {
      const path = join(dir, 'secret');
      writeFileSync(path, 'user:pa:ss\r\nignored\n');
      const rules = rulesOf({
        upstreamProxy: [H, 'https=http://a:b@q.test:1'],
        proxyAuthFile: path,
      });
      assert.deepEqual(rules?.http?.credentials, { user: 'user', password: 'pa:ss' });
      assert.deepEqual(rules?.https?.credentials, { user: 'a', password: 'b' });
      writeFileSync(path, 'nothing');
      assert.throws(() => rulesOf({ upstreamProxy: H, proxyAuthFile: path }), {
        code: 'ERR_HAWSER_PROXY',
        message: `proxyAuthFile: the first line of ${path} must be USER:PASSWORD`,
      });
      assert.throws(
        () => rulesOf({ upstreamProxy: H, proxyAuthFile: `${path}2` }),
        /cannot be read/,
      );
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('is shown without secrets', () => {
    const document = readProxyDocument({ upstreamProxy: ['http=http://u:secret@p.test:1', 'env'] });
    assert.deepEqual(shownProxies(document), ['http=http://p.test:1', 'env']);
  });

  for (const [document, message] of [
    [{ upstreamProxy: 'ftp://x' }, /upstreamProxy\.0: must be http:\/\/HOST:PORT/],
    [{ proxyExclude: 'a b..c' }, /proxyExclude\.0: b\.\.c is not of the form/],
    [{ upstreamproxy: H }, /upstreamproxy/],
    [{ httpPorts: [0] }, /httpPorts\.0/],
    [{ proxyUnnamed: 'drop' }, /proxyUnnamed: must be one of connect, direct/],
  ] as const) {
    it(`refuses ${JSON.stringify(document)}`, () => {
      assert.throws(() => readProxyDocument(document), { code: 'ERR_HAWSER_PROXY', message });
    });
  }

  it("is that of vpnkit's file", () => {
    const { document, warning } = translateHttpProxy(
      '{"http":"http://user:pass@h.test:1","https":"h.test:2","exclude":"*.local, 10.0.0.0/8","transparent_http_ports":[80,8080],"allow_enabled":true}',
    );
    assert.match(warning ?? '', /policy/);
    const rules = rulesOf(document);
    assert.deepEqual([rules?.http, rules?.https].map(text), ['http://h.test:1', 'http://h.test:2']);
    assert.deepEqual([rules?.httpPorts, rules?.httpsPorts], [[80, 8080], [443]]);
    assert.equal(rules?.exclude.hasName('x.local', 80), true);
    assert.equal(rulesOf(translateHttpProxy('').document), undefined);
    assert.throws(() => translateHttpProxy('{"http": 5}'), /http/);
    assert.throws(() => translateHttpProxy('nothing'), SyntaxError);
  });
});
