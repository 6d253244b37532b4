import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { SILENT } from '../../src/base/log.ts';
import type { ApiListener } from '../../src/control/api-listener.ts';
import { ApiClient } from '../../src/control/client.ts';
import { type ApiAddress, serveControlApi } from '../../src/control/control-api.ts';
import type { BlockView } from '../../src/control/flow-view.ts';
import {
  flowLineSchema,
  flowSchema,
  flowsSchema,
  healthSchema,
  infoSchema,
} from '../../src/control/schema.ts';
import { WAITING_ROOM_LIMITS } from '../../src/control/waiting-room.ts';
import { FakeNetwork } from '../cli/fake-network.ts';
import { until } from '../proxy/recording.ts';
import { itNeeding } from '../support/requirements.ts';
import { runDelayMs } from '../support/run-delay.ts';

const curl = promisify(execFile);
const CROWD = fileURLToPath(new URL('./crowd-child.js', import.meta.url));
const TOKEN = '0123456789abcdef0123456789abcdef';

interface Reply {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** Send bytes as they are, and read until the server closes. Text is Latin-1. */
function exchange(
  socket: Socket,
  bytes: string | Uint8Array,
  isHalfClosing = false,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => {
      const text = Buffer.concat(chunks).toString('latin1');
      const split = text.indexOf('\r\n\r\n');
      const head = text.slice(0, Math.max(split, 0)).toLowerCase();
      resolve({
        status: Number(/^http\/1\.1 (\d+)/.exec(head)?.[1] ?? 0),
        head,
        body: text.slice(split + 4),
      });
    });
    socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    if (isHalfClosing) socket.end();
  });
}

/** RFC 9112 §7.1, without extensions. */
const unchunked = (body: string): string =>
  body
    .split(/^[\da-f]+\r\n/m)
    .join('')
    .replaceAll('\r\n', '');

describe('control API', () => {
  let dir: string;
  let path: string;
  let network: FakeNetwork;
  let listener: ApiListener;
  let shutdowns: number;
  const errors: string[] = [];

  const serve = (address: ApiAddress): Promise<ApiListener> =>
    serveControlApi({
      address,
      name: 'test',
      version: '1.2.3',
      view: network.view,
      ports: network.ports,
      log: { ...SILENT, error: (_fields, message) => errors.push(message) },
      onShutdown: () => shutdowns++,
    });

  const ask = (line: string, headers: readonly string[] = ['Host: localhost'], body = '') =>
    exchange(
      connect(path),
      `${[`${line} HTTP/1.1`, ...headers, 'Connection: close'].join('\r\n')}\r\n\r\n${body}`,
    );

  const isServing = async (): Promise<void> => {
    const health = await new ApiClient({ kind: 'unix', path }).get('/v1/health', healthSchema);
    assert.equal(health.status, 'ok');
  };

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    path = join(dir, 'api.sock');
    network = new FakeNetwork();
    shutdowns = 0;
    listener = await serve({ kind: 'unix', path });
  });
  afterEach(async () => {
    await listener.close();
    await network.close();
    rmSync(dir, { recursive: true });
  });

  it('the socket is of mode 0600', () => {
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  itNeeding('curl reads it over the Unix socket', ['curl'], async () => {
    const { stdout } = await curl('curl', [
      '-sf',
      '--unix-socket',
      path,
      'http://localhost/v1/info',
    ]);
    const info = infoSchema().parse(JSON.parse(stdout));
    assert.equal(info.version, '1.2.3');
    assert.equal(info.api, `unix:${path}`);
  });

  it('the client reads flows as they are', async () => {
    const client = new ApiClient({ kind: 'unix', path });
    const answer = await client.get('/v1/flows', flowsSchema);
    assert.deepEqual(answer, { flows: network.view.flows(), total: 2, next: null });
  });

  const queries: [string, number, string[]][] = [
    ['protocol=udp', 1, ['2']],
    ['guest=192.168.127.2', 1, ['1']],
    ['guest=Build', 1, ['1']],
    ['guest=4', 1, ['2']],
    ['guest=5', 0, []],
    ['limit=1', 2, ['1']],
    ['after=1', 1, ['2']],
    ['after=2', 0, []],
    ['remote=203.0.113.5', 2, ['1', '2']],
    ['remote=203.0.113.0/24&limit=1', 2, ['1']],
    ['remote=203.0.114.0/24', 0, []],
    ['port=40000', 2, ['1', '2']],
    ['port=443&protocol=tcp', 1, ['1']],
    ['port=1', 0, []],
    ['name=WWW.example.com', 1, ['1']],
    ['name=*.example.com', 1, ['1']],
    ['name=example.com', 0, []],
    ['publication=7', 1, ['2']],
    ['publication=8', 0, []],
    ['protocol=tcp&guest=192.168.127.3', 0, []],
  ];
  for (const [query, total, ids] of queries) {
    it(`/v1/flows?${query}`, async () => {
      const answer = await new ApiClient({ kind: 'unix', path }).get(
        `/v1/flows?${query}`,
        flowsSchema,
      );
      assert.equal(answer.total, total);
      assert.deepEqual(
        answer.flows.map(({ id }) => id),
        ids,
      );
    });
  }

  const JSON_HEADERS = ['Host: localhost', 'Content-Type: application/json'];
  const odd: [string, string, string[], string, number, RegExp][] = [
    ['no such path', 'GET /v2', ['Host: localhost'], '', 404, /openapi/],
    ['the root', 'GET /', ['Host: localhost'], '', 404, /nothing at/],
    [
      'a path of a proxy request',
      'GET http://other/v1/health',
      ['Host: localhost'],
      '',
      404,
      /nothing/,
    ],
    ['no such flow', 'DELETE /v1/flows/zz', ['Host: localhost'], '', 404, /no flow/],
    [
      'a flow id that is not encoded',
      'DELETE /v1/flows/%zz',
      ['Host: localhost'],
      '',
      400,
      /percent/,
    ],
    ['a path below a flow', 'DELETE /v1/flows/1/x', ['Host: localhost'], '', 404, /nothing at/],
    ['a wrong method', 'POST /v1/health', ['Host: localhost'], '', 405, /use GET, HEAD/],
    ['an unusual method', 'PROPFIND /v1/health', ['Host: localhost'], '', 405, /use GET/],
    ['OPTIONS', 'OPTIONS /v1/health', ['Host: localhost'], '', 405, /use GET/],
    ['CONNECT', 'CONNECT 127.0.0.1:22', ['Host: localhost'], '', 405, /CONNECT/],
    [
      'an unknown protocol',
      'GET /v1/flows?protocol=sctp',
      ['Host: localhost'],
      '',
      400,
      /tcp, udp, icmp/,
    ],
    ['a bad network', 'GET /v1/flows?remote=1.2.3', ['Host: localhost'], '', 400, /a network/],
    ['port 0', 'GET /v1/flows?port=0', ['Host: localhost'], '', 400, /from 1 to 65535/],
    ['a bad id to go on', 'GET /v1/flows?after=x', ['Host: localhost'], '', 400, /after/],
    ['neither yes nor no', 'GET /v1/flows?follow=1', ['Host: localhost'], '', 400, /true or false/],
    ['one flow that is not', 'GET /v1/flows/9', ['Host: localhost'], '', 404, /no flow/],
    ['limit 0', 'GET /v1/flows?limit=0', ['Host: localhost'], '', 400, /from 1 to 100000/],
    [
      'a limit in scientific notation',
      'GET /v1/flows?limit=1e3',
      ['Host: localhost'],
      '',
      400,
      /limit/,
    ],
    [
      'an unknown parameter',
      'GET /v1/flows?x=1',
      ['Host: localhost'],
      '',
      400,
      /protocol, guest, remote, port/,
    ],
    [
      'a repeated parameter',
      'GET /v1/flows?limit=1&limit=2',
      ['Host: localhost'],
      '',
      400,
      /twice/,
    ],
    ['no Host', 'GET /v1/health', [], '', 400, /Host/],
    [
      'the same Origin of a foreign Host',
      'GET /v1/health',
      ['Host: evil.example', 'Origin: http://evil.example'],
      '',
      403,
      /Origin/,
    ],
    [
      'a foreign Origin',
      'GET /v1/health',
      ['Host: localhost', 'Origin: http://evil.example'],
      '',
      403,
      /Origin/,
    ],
    ['the null Origin', 'GET /v1/health', ['Host: localhost', 'Origin: null'], '', 403, /Origin/],
    [
      'a body of another type',
      'POST /v1/shutdown',
      ['Host: localhost', 'Content-Type: text/plain', 'Content-Length: 2'],
      '{}',
      415,
      /application\/json/,
    ],
    [
      'a body of no type',
      'POST /v1/shutdown',
      ['Host: localhost', 'Content-Length: 2'],
      '{}',
      415,
      /untyped/,
    ],
    [
      'broken JSON',
      'POST /v1/shutdown',
      [...JSON_HEADERS, 'Content-Length: 1'],
      '{',
      400,
      /not JSON/,
    ],
    [
      'JSON null',
      'POST /v1/shutdown',
      [...JSON_HEADERS, 'Content-Length: 4'],
      'null',
      400,
      /object/,
    ],
    [
      'a JSON list',
      'POST /v1/shutdown',
      [...JSON_HEADERS, 'Content-Length: 2'],
      '[]',
      400,
      /object/,
    ],
    [
      'a key called __proto__',
      'POST /v1/shutdown',
      [...JSON_HEADERS, 'Content-Length: 15'],
      '{"__proto__":1}',
      400,
      /__proto__/,
    ],
    [
      'bytes that are not UTF-8',
      'POST /v1/shutdown',
      [...JSON_HEADERS, 'Content-Length: 2'],
      '\x80\x80',
      400,
      /not JSON/,
    ],
    [
      'a body announced too large',
      'POST /v1/shutdown',
      [...JSON_HEADERS, 'Content-Length: 99999999'],
      '',
      413,
      /65536/,
    ],
    [
      'a body that is too large',
      'POST /v1/shutdown',
      [...JSON_HEADERS, 'Transfer-Encoding: chunked'],
      `20000\r\n${'x'.repeat(0x20000)}\r\n0\r\n\r\n`,
      413,
      /65536/,
    ],
    [
      'deep JSON',
      'POST /v1/shutdown',
      [...JSON_HEADERS, 'Content-Length: 60000'],
      '['.repeat(60_000),
      400,
      /not JSON/,
    ],
    [
      'a header block too large',
      'GET /v1/health',
      ['Host: localhost', `X: ${'x'.repeat(20_000)}`],
      '',
      431,
      /16 KiB/,
    ],
    [
      'a second Host',
      'GET /v1/health',
      ['Host: localhost', 'hOST: evil.example'],
      '',
      400,
      /two Host/,
    ],
    [
      'two lengths',
      'POST /v1/shutdown',
      ['Host: localhost', 'Content-Length: 2', 'Content-Length: 3'],
      '{}',
      400,
      /HTTP/,
    ],
  ];
  for (const [name, line, headers, body, status, detail] of odd) {
    it(`${name} is answered by ${status} and a problem document`, async () => {
      const reply = await ask(line, headers, body);
      assert.equal(reply.status, status, reply.body);
      assert.match(reply.head, /content-type: application\/problem\+json/);
      const document = JSON.parse(reply.body);
      assert.equal(document.status, status);
      assert.equal(document.type, 'about:blank');
      assert.match(document.detail, detail);
      assert.equal(shutdowns, 0);
      await isServing();
    });
  }

  it('a 405 names what is allowed', async () => {
    const { head } = await ask('PUT /v1/flows/1');
    assert.match(head, /allow: get, head, delete/);
  });

  // gvproxy's clients say `base`, Docker's `d` and `_`, VPNKit's `unix`.
  for (const host of ['localhost', '[::1]:8080', '', 'base', 'd', '_', 'unix', 'any.example']) {
    it(`the Host "${host}" is let in over the private socket`, async () => {
      assert.equal((await ask('GET /v1/health', [`Host: ${host}`])).status, 200);
    });
  }

  it('its own Origin is let in', async () => {
    const headers = ['Host: localhost:80', 'Origin: http://localhost:80'];
    assert.equal((await ask('GET /v1/health', headers)).status, 200);
  });

  it('HEAD has the headers of GET and no body', async () => {
    const { status, head, body } = await ask('HEAD /v1/health');
    assert.equal(status, 200);
    assert.match(head, /content-length: \d\d/);
    assert.equal(body, '');
  });

  it('DELETE resets a flow', async () => {
    assert.equal((await ask('DELETE /v1/flows/1')).status, 204);
    assert.deepEqual(network.flows.closed, ['1']);
  });

  it('one flow by its id', async () => {
    const flow = await new ApiClient({ kind: 'unix', path }).get('/v1/flows/2', flowSchema);
    assert.deepEqual(flow, network.view.flows()[1]);
  });

  it('follow: what flows now, then what happens, filtered; nobody is called once the client left', async () => {
    const client = new ApiClient({ kind: 'unix', path });
    const lines = client.lines('/v1/flows?follow=true&guest=build', flowLineSchema);
    const next = async () => (await lines.next()).value;
    const [tcp, udp] = network.flows.flows;
    assert.ok(tcp !== undefined && udp !== undefined);
    assert.deepEqual(await next(), { kind: 'present', flow: tcp, why: null });
    assert.equal(network.flows.listeners.size, 1);
    network.flows.emit({ kind: 'opened', flow: udp, why: null });
    const opened = { kind: 'opened', flow: { ...tcp, id: '8' }, why: null } as const;
    network.flows.emit(opened);
    assert.deepEqual(await next(), opened);
    const block: BlockView = {
      ...{ guestId: 3, guestName: 'build', guestMac: null, protocol: 'tcp' },
      ...{
        remoteAddress: '169.254.169.254',
        remotePort: 80,
        name: null,
        why: 'link-local',
        rule: null,
      },
    };
    network.flows.emit({ kind: 'blocked', block: { ...block, guestName: 'other' } });
    network.flows.emit({ kind: 'blocked', block });
    assert.deepEqual(await next(), { kind: 'blocked', block });
    network.flows.emit({ kind: 'missed', events: 4 });
    assert.deepEqual(await next(), { kind: 'missed', events: 4 });
    network.flows.emit({ kind: 'ended', flow: tcp, why: 'finished' });
    assert.deepEqual(await next(), { kind: 'ended', flow: tcp, why: 'finished' });
    await lines.return();
    await until(() => network.flows.listeners.size === 0);
  });

  it('followers of flows leave places to other clients', async () => {
    const sockets = Array.from({ length: 80 }, () => connect(path));
    const answers: string[] = [];
    for (const socket of sockets) {
      socket.write('GET /v1/flows?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n');
      socket.once('data', (chunk) => answers.push(String(chunk).slice(9, 12)));
    }
    await until(() => answers.length === sockets.length);
    assert.equal(answers.filter((status) => status === '200').length, 16);
    assert.equal(answers.filter((status) => status === '503').length, 64);
    assert.equal((await ask('GET /v1/health')).status, 200);
    for (const socket of sockets) socket.destroy();
    await until(() => network.flows.listeners.size === 0);
    const again = new ApiClient({ kind: 'unix', path }).lines(
      '/v1/flows?follow=true',
      flowLineSchema,
    );
    assert.equal((await again.next()).done, false, 'their places are free again');
    await again.return();
    await until(() => network.flows.listeners.size === 0);
  });

  it('a follower that does not read costs a bounded number of events, and learns how many it missed', async () => {
    const socket = connect(path);
    socket.pause();
    socket.write('GET /v1/flows?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until(() => network.flows.listeners.size === 1);
    const [flow] = network.flows.flows;
    assert.ok(flow !== undefined);
    for (let n = 0; n < 20_000; n++) network.flows.emit({ kind: 'opened', flow, why: null });
    let text = '';
    socket.on('data', (chunk) => {
      text += String(chunk);
    });
    socket.resume();
    await until(() => text.includes('"missed"'));
    assert.equal(text.split('"opened"').length - 1, 4_096);
    assert.match(text, /\{"kind":"missed","events":15904\}/);
    socket.destroy();
    await until(() => network.flows.listeners.size === 0);
  });

  it('shutdown is answered first', async () => {
    const { status, body } = await ask('POST /v1/shutdown');
    assert.equal(status, 202);
    assert.deepEqual(JSON.parse(body), { stopping: true });
    assert.equal(shutdowns, 1);
  });

  it('an error of ours is a 500 and service goes on', async () => {
    Object.assign(network.view, {
      leases: () => {
        throw new Error('secret');
      },
    });
    const { status, body } = await ask('GET /v1/leases');
    assert.equal(status, 500);
    assert.doesNotMatch(body, /secret/);
    await isServing();
  });

  it('the metrics are in the text format, from the network at the moment', async () => {
    const first = (await ask('GET /metrics')).body;
    assert.match(first, /^hawser_link_bytes_total\{direction="to_host"\} 700$/m);
    assert.match(first, /^hawser_drops_total\{reason="udp-bad-checksum"\} 3$/m);
    assert.match(first, /^hawser_flows\{protocol="tcp"\} 1$/m);
    assert.match(first, /^hawser_event_loop_lag_seconds [\d.e-]+$/m);
    assert.match(first, /^hawser_resident_memory_bytes \d{7,}$/m);
    assert.match(first, /^hawser_arena_in_use_bytes \d+$/m);
    assert.match(first, /^hawser_flows_opened_total\{protocol="tcp"\} 5$/m);
    Object.assign(network.view, { counters: () => ({ drops: { other: 1 } }) });
    const second = (await ask('GET /metrics')).body;
    assert.match(second, /^hawser_drops_total\{reason="other"\} 1$/m);
    assert.doesNotMatch(second, /udp-bad-checksum/);
  });

  it('the OpenAPI document describes every path that answers, and its answers keep to it', async () => {
    const document = JSON.parse((await ask('GET /v1/openapi.json')).body);
    assert.equal(document.openapi, '3.1.0');
    assert.deepEqual(Object.keys(document.paths).sort(), [
      '/metrics',
      '/v1/budgets',
      '/v1/conflicts',
      '/v1/dns/records',
      '/v1/events',
      '/v1/flows',
      '/v1/flows/{id}',
      '/v1/guests',
      '/v1/health',
      '/v1/info',
      '/v1/leases',
      '/v1/mux',
      '/v1/openapi.json',
      '/v1/policy',
      '/v1/policy/denials',
      '/v1/policy/denials/{id}',
      '/v1/policy/suggestion',
      '/v1/policy/test',
      '/v1/ports',
      '/v1/ports/{id}',
      '/v1/proxy',
      '/v1/shutdown',
    ]);
    for (const key of [
      '/v1/health',
      '/v1/info',
      '/v1/guests',
      '/v1/conflicts',
      '/v1/flows',
      '/v1/leases',
      '/v1/mux',
      '/v1/ports',
    ]) {
      const { head, body } = await ask(`GET ${key}`);
      const answer = JSON.parse(head.includes('chunked') ? unchunked(body) : body);
      const { schema } = document.paths[key].get.responses[200].content['application/json'];
      assert.deepEqual(Object.keys(answer).sort(), Object.keys(schema.properties).sort(), key);
    }
  });

  it('garbage never ends it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (bytes) => {
        await exchange(connect(path), bytes, true).catch(() => undefined);
      }),
      { numRuns: 50 },
    );
    await isServing();
  });

  it('half a request and a gone client leave nothing behind', async () => {
    const socket = connect(path);
    socket.write('POST /v1/shutdown HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{');
    await once(socket, 'connect');
    socket.destroy();
    await isServing();
    assert.equal(shutdowns, 0);
  });

  it('a request that is reset in its body is not an error of ours', async () => {
    errors.splice(0);
    for (let i = 0; i < 20; i++) {
      const socket = connect(path);
      socket.on('error', () => {});
      await once(socket, 'connect');
      socket.write('POST /v1/shutdown HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{');
      if (i % 2 === 0) await new Promise(setImmediate);
      socket.destroy();
    }
    await isServing();
    assert.deepEqual(errors, []);
  });

  it('a hundred clients at once are all answered', async () => {
    const clients = Array.from({ length: 100 }, async () => {
      const { status } = await ask('GET /v1/health');
      return status;
    });
    assert.deepEqual(new Set(await Promise.all(clients)), new Set([200]));
  });

  it('clients wait for connections that say nothing, which then give way', async () => {
    const idle = Array.from({ length: WAITING_ROOM_LIMITS.served }, () => connect(path));
    const gone = idle.map((socket) => once(socket, 'close'));
    await Promise.all(idle.map((socket) => once(socket, 'connect')));
    await Promise.all(Array.from({ length: 100 }, () => isServing()));
    await Promise.race(gone);
    for (const socket of idle) socket.destroy();
  });

  it('a client that leaves while it waits, and those that wait at the end, are let go', async () => {
    const all = Array.from({ length: WAITING_ROOM_LIMITS.served + 5 }, () => connect(path));
    for (const socket of all) socket.on('error', () => {}); // cut: reset, or ended
    await Promise.all(all.map((socket) => once(socket, 'connect')));
    all.at(-1)?.destroy();
    const last = all.at(-2);
    assert.ok(last !== undefined);
    const cut = new Promise((resolve) => last.once('close', resolve));
    await listener.close();
    await cut;
    for (const socket of all) socket.destroy();
  });

  it('a live socket is refused and left alone', async () => {
    await assert.rejects(serve({ kind: 'unix', path }), /a process serves it already/);
    await isServing();
  });

  it('a file that is no socket is refused and left alone', async () => {
    const file = join(dir, 'notes');
    writeFileSync(file, 'precious');
    await assert.rejects(serve({ kind: 'unix', path: file }), /not a socket; remove it/);
    assert.equal(readFileSync(file, 'utf8'), 'precious');
  });

  describe('over TCP', () => {
    let tcp: ApiListener;
    let port: number;
    const send = (headers: readonly string[]): Promise<Reply> =>
      exchange(
        connect(port, '127.0.0.1'),
        `GET /v1/health HTTP/1.1\r\n${headers.join('\r\n')}\r\nConnection: close\r\n\r\n`,
      );

    beforeEach(async () => {
      const tokenFile = join(dir, 'token');
      writeFileSync(tokenFile, `${TOKEN}\n`, { mode: 0o600 });
      tcp = await serve({ kind: 'tcp', address: '127.0.0.1', port: 0, tokenFile });
      port = Number(tcp.where.split(':').at(-1));
    });
    afterEach(() => tcp.close());

    it('connections without the token do not keep the owner out, however fast they come', async () => {
      const client = new ApiClient({ kind: 'tcp', address: '127.0.0.1', port, token: TOKEN });
      assert.equal((await client.get('/v1/health', healthSchema)).status, 'ok'); // all is loaded
      const crowd = spawn(process.execPath, [CROWD, String(port), '500'], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      let said = '';
      crowd.stdout.on('data', (text) => {
        said += text;
      });
      await once(crowd.stdout, 'data');
      let served = 0;
      let worst = 0;
      let asked = 0;
      for (; asked < 40 || !said.includes('many'); asked++) {
        const start = performance.now() - runDelayMs();
        const { status } = await client
          .get('/v1/health', healthSchema)
          .catch(() => ({ status: '' }));
        if (status === 'ok') served++;
        worst = Math.max(worst, performance.now() - runDelayMs() - start);
      }
      assert.ok(served >= 0.9 * asked, `the owner was served ${served} times of ${asked}`);
      assert.ok(worst < 1_000, `the owner waited ${worst} ms`);
      crowd.stdin.end();
      await once(crowd, 'close');
      assert.ok(Number(said.trim().split('\n').at(-1)) > 1_000, `they came: ${said}`);
    });

    it('a connection whose request comes late, or is refused, is closed', async () => {
      const late = connect(port, '127.0.0.1');
      await once(late.resume(), 'close');
      const refused = connect(port, '127.0.0.1');
      refused.write('GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await once(refused.resume(), 'close');
    });

    it('the right token is let in, by our client too', async () => {
      const client = new ApiClient({ kind: 'tcp', address: '127.0.0.1', port, token: TOKEN });
      assert.equal((await client.get('/v1/health', healthSchema)).status, 'ok');
    });

    const refused: [string, string[], number][] = [
      ['no token', ['Host: localhost'], 401],
      ['a wrong token', ['Host: localhost', `Authorization: Bearer ${TOKEN}x`], 401],
      ['another scheme', ['Host: localhost', `Authorization: Basic ${TOKEN}`], 401],
      ...['evil.example', 'localhost.evil', 'localhost@evil', 'base'].map(
        (host): [string, string[], number] => [
          `the foreign Host ${host} with the token`,
          [`Host: ${host}`, `Authorization: Bearer ${TOKEN}`],
          403,
        ],
      ),
      [
        'a foreign Origin with the token',
        ['Host: localhost', 'Origin: http://evil', `Authorization: Bearer ${TOKEN}`],
        403,
      ],
    ];
    for (const [name, headers, status] of refused) {
      it(`${name} is refused`, async () => assert.equal((await send(headers)).status, status));
    }

    it('a missing or short token file is an error that says what to do', async () => {
      const address = { kind: 'tcp', address: '127.0.0.1', port: 0 } as const;
      await assert.rejects(serve({ ...address, tokenFile: join(dir, 'none') }), /write one to/);
      writeFileSync(join(dir, 'short'), 'abc');
      await assert.rejects(serve({ ...address, tokenFile: join(dir, 'short') }), /at least 16/);
    });
  });
});

describe('control API client', () => {
  it('says how to find a daemon when none answers', async () => {
    const client = new ApiClient({ kind: 'unix', path: '/nonexistent/api.sock' });
    await assert.rejects(client.get('/v1/health', healthSchema), /no daemon answers there; start/);
  });
});
