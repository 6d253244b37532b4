/** gvproxy's HTTP API, every request and answer of it, over a real socket; behind it a network without guests. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { text as textOf } from 'node:stream/consumers';
import { SILENT } from '../../../src/base/log.ts';
import { createGvproxyServer, type GvproxyServer } from '../../../src/control/gvproxy/server.ts';
import { gvisorStats } from '../../../src/control/gvproxy/stats.ts';
import { hostAccess } from '../../../src/control/ports/port-access.ts';
import { FakeNetwork } from '../../cli/fake-network.ts';

interface Reply {
  readonly status: number;
  readonly type: string | undefined;
  readonly nosniff: boolean;
  readonly body: string;
}

const TEXT = 'text/plain; charset=utf-8';
/** A port that nobody else binds: the system picks it. */
const ANY = '127.0.0.1:0';

type Row = readonly [method: string, path: string, body: string, status: number, answer: string];

const FORWARDER: readonly Row[] = [
  ['GET', 'all', '', 200, '[]\n'],
  ['POST', 'all', '', 200, '[]\n'],
  ['GET', 'expose', '', 400, 'post only\n'],
  ['GET', 'unexpose', '', 400, 'post only\n'],
  ['POST', 'expose', '', 400, 'EOF\n'],
  ['POST', 'expose', '{"local":', 400, 'unexpected EOF\n'],
  ['POST', 'expose', 'garbage', 400, "invalid character 'g' looking for beginning of value\n"],
  [
    'POST',
    'expose',
    '[]',
    400,
    'json: cannot unmarshal array into Go value of type types.ExposeRequest\n',
  ],
  [
    'POST',
    'expose',
    '{"local":5}',
    400,
    'json: cannot unmarshal number into Go struct field ExposeRequest.local of type string\n',
  ],
  [
    'POST',
    'unexpose',
    '{"protocol":true}',
    400,
    'json: cannot unmarshal bool into Go struct field UnexposeRequest.protocol of type string\n',
  ],
  ['POST', 'expose', '{}', 400, 'missing port in address\n'],
  [
    'POST',
    'expose',
    `{"local":"${ANY}","remote":"noport"}`,
    400,
    'address noport: missing port in address\n',
  ],
  [
    'POST',
    'expose',
    `{"local":"${ANY}","remote":"1:2:3"}`,
    400,
    'address 1:2:3: too many colons in address\n',
  ],
  ['POST', 'expose', `{"local":"${ANY}","remote":"192.168.127.2:80","protocol":"tcp"}`, 200, ''],
  ['POST', 'expose', `{"local":"${ANY}","remote":"192.168.127.2:53","protocol":"udp"}`, 200, ''],
  ['POST', 'expose', `{"LOCAL":"${ANY}","Remote":"192.168.127.2:80"} more`, 200, ''],
  ['POST', 'expose', `{"local":"${ANY}","remote":":80","protocol":null,"other":1}`, 200, ''],
  ['POST', 'expose', `{"local":"[::1]:0","remote":":80"}`, 200, ''],
  [
    'POST',
    'expose',
    `{"local":"${ANY}","remote":":80","protocol":"sctp"}`,
    500,
    'unknown protocol sctp\n',
  ],
  ['POST', 'expose', `{"local":"${ANY}","remote":"example.com:80"}`, 500, 'invalid remote addr\n'],
  [
    'POST',
    'expose',
    '{"local":"x","remote":":80"}',
    500,
    'listen tcp: address x: missing port in address\n',
  ],
  [
    'POST',
    'expose',
    '{"local":"/s","remote":"udp://192.168.127.2:80","protocol":"unix"}',
    500,
    'remote protocol for unix forwarder is not implemented: udp\n',
  ],
  [
    'POST',
    'expose',
    '{"local":"//./pipe/x","remote":"tcp://192.168.127.2:80","protocol":"npipe"}',
    500,
    'named pipes are not supported by this platform\n',
  ],
  ['POST', 'unexpose', '{"local":"127.0.0.1:9090","protocol":"tcp"}', 500, 'proxy not found\n'],
  ['POST', 'unexpose', '{"local":"/s","protocol":"unix"}', 500, 'proxy not found\n'],
  ['GET', 'other', '', 404, '404 page not found\n'],
];

const REST: readonly Row[] = [
  [
    'GET',
    '/services/dhcp/leases',
    '',
    200,
    '{"192.168.127.1":"5a:94:ef:e4:0c:dd","192.168.127.2":"52:54:00:12:34:56"}\n',
  ],
  [
    'POST',
    '/leases',
    '',
    200,
    '{"192.168.127.1":"5a:94:ef:e4:0c:dd","192.168.127.2":"52:54:00:12:34:56"}\n',
  ],
  ['GET', '/cam', '', 200, '{"52:54:00:12:34:56":0}\n'],
  ['GET', '/tunnel', '', 500, 'ip is mandatory\n'],
  ['POST', '/tunnel?ip=192.168.127.2', '', 500, 'strconv.ParseUint: parsing "": invalid syntax\n'],
  [
    'POST',
    '/tunnel?ip=192.168.127.2&port=x',
    '',
    500,
    'strconv.ParseUint: parsing "x": invalid syntax\n',
  ],
  [
    'POST',
    '/tunnel?ip=192.168.127.2&port=65536',
    '',
    500,
    'strconv.ParseUint: parsing "65536": value out of range\n',
  ],
  ['GET', '/', '', 404, '404 page not found\n'],
  ['GET', '/services/', '', 404, '404 page not found\n'],
  ['GET', '/debug/pprof/', '', 404, '404 page not found\n'],
  ['GET', '/services/dns/all', '', 200, 'null\n'],
  ['GET', '/services/dns/add', '', 400, 'post only\n'],
  ['POST', '/services/dns/add', '', 400, 'EOF\n'],
  [
    'POST',
    '/services/dns/add',
    '{"Name":"x.","DefaultIP":"not-an-ip"}',
    400,
    'invalid IP address: not-an-ip\n',
  ],
  [
    'POST',
    '/services/dns/add',
    '{"Name":"x.","Records":[{"Regexp":"["}]}',
    400,
    'error parsing regexp: missing closing ]: `[`\n',
  ],
  [
    'POST',
    '/services/dns/add',
    '{"Name":"x.","Records":{}}',
    400,
    'json: cannot unmarshal object into Go struct field Zone.Records of type []types.Record\n',
  ],
];

/** Until its end; the stream may still be written to. */
async function received(stream: Socket): Promise<string> {
  let text = '';
  stream.on('data', (chunk) => {
    text += String(chunk);
  });
  await once(stream, 'end');
  return text;
}

describe('control/gvproxy: the API', () => {
  let dir: string;
  let path: string;
  let network: FakeNetwork;
  let served: GvproxyServer;
  let guest: Server;
  let dialled: string[];
  let attached: Duplex[];
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-gvproxy-'));
    path = join(dir, 'api.sock');
    network = new FakeNetwork();
    dialled = [];
    attached = [];
    guest = createServer({ allowHalfOpen: true });
    guest.listen(join(dir, 'guest.sock'));
    await once(guest, 'listening');
    served = createGvproxyServer({
      target: {
        ports: hostAccess(network.ports),
        zones: network.recordZones,
        dial: async (ip, port) => {
          dialled.push(`${ip}:${port}`);
          const socket = connect({ path: join(dir, 'guest.sock'), allowHalfOpen: true });
          await once(socket, 'connect');
          return socket;
        },
        leases: () => [
          ['192.168.127.2', '52:54:00:12:34:56'],
          ['192.168.127.1', '5a:94:ef:e4:0c:dd'],
        ],
        cam: () => [['52:54:00:12:34:56', 0]],
        stats: () => gvisorStats(network.view),
      },
      attach: (connection) => {
        attached.push(connection);
      },
      isOpenToBrowsers: false,
      own: undefined,
      log: SILENT,
    });
    served.server.listen(path);
    await once(served.server, 'listening');
  });
  afterEach(async () => {
    served.close();
    served.server.closeAllConnections();
    served.server.close();
    guest.close();
    await network.close();
    rmSync(dir, { recursive: true });
  });
  after(() => agent.destroy());

  const ask = async (method: string, target: string, body = ''): Promise<Reply> => {
    const asked = request({ socketPath: path, method, path: target, agent });
    asked.end(body);
    const [response] = await once(asked, 'response');
    const { statusCode, headers } = response;
    return {
      status: statusCode,
      type: headers['content-type'],
      nosniff: headers['x-content-type-options'] === 'nosniff',
      body: await textOf(response),
    };
  };

  for (const [method, name, body, status, answer] of [
    ...FORWARDER.map(([m, p, ...rest]): Row => [m, `/services/forwarder/${p}`, ...rest]),
    ...REST,
  ]) {
    it(`${method} ${name} ${body}: ${status} ${answer.trim()}`, async () => {
      assert.deepEqual(await ask(method, name, body), {
        status,
        type: answer === '' ? undefined : TEXT,
        nosniff: status !== 200,
        body: answer,
      });
    });
  }

  it('expose is never idempotent; unexpose frees the place', async () => {
    await ask('POST', '/services/forwarder/expose', `{"local":"${ANY}","remote":":80"}`);
    const [{ local }] = JSON.parse((await ask('GET', '/services/forwarder/all')).body);
    const again = JSON.stringify({ local, remote: ':80' });
    const twice = await ask('POST', '/services/forwarder/expose', again);
    assert.deepEqual(
      [twice.status, twice.body],
      [500, `proxy already running for tcp on ${local}\n`],
    );
    const gone = await ask('POST', '/services/forwarder/unexpose', JSON.stringify({ local }));
    assert.deepEqual([gone.status, gone.body], [200, '']);
    assert.equal((await ask('POST', '/services/forwarder/expose', again)).status, 200);
  });

  it('a place that another program has: as Go says it', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const body = `{"local":"127.0.0.1:${port}","remote":"192.168.127.2:80"}`;
    const reply = await ask('POST', '/services/forwarder/expose', body);
    other.close();
    assert.equal(reply.status, 500);
    assert.equal(reply.body, `listen tcp 127.0.0.1:${port}: bind: address already in use\n`);
  });

  it('1,000 expose requests on one connection, and as many unexpose', async function () {
    this.timeout(120_000); // both ends are this process, which a busy machine makes some ten times as slow
    let connections = 0;
    served.server.on('connection', () => connections++);
    const body = `{"local":"${ANY}","remote":"192.168.127.2:80"}`;
    for (let i = 0; i < 1_000; i++) {
      assert.equal((await ask('POST', '/services/forwarder/expose', body)).status, 200);
    }
    const all = JSON.parse((await ask('GET', '/services/forwarder/all')).body);
    assert.equal(all.length, 1_000);
    for (const { local } of all) {
      const gone = await ask('POST', '/services/forwarder/unexpose', JSON.stringify({ local }));
      assert.equal(gone.status, 200);
    }
    assert.equal((await ask('GET', '/services/forwarder/all')).body, '[]\n');
    assert.equal(connections, 1);
  });

  it('zones: new records before those that were there, the default replaced', async () => {
    const add = (zone: object) => ask('POST', '/services/dns/add', JSON.stringify(zone));
    const empty = { status: 200, type: undefined, nosniff: false, body: '' };
    assert.deepEqual(
      await add({ Name: 'test.', Records: [{ Name: 'a', IP: '10.0.0.1' }], DefaultIP: '10.0.0.9' }),
      empty,
    );
    assert.deepEqual(await add({ name: 'other.' }), empty);
    assert.deepEqual(
      await add({ name: 'test.', records: [{ regexp: '^b.*', ip: '10.0.0.2' }] }),
      empty,
    );
    assert.equal(
      (await ask('GET', '/services/dns/all')).body,
      `[{"Name":"test.","Records":[{"Name":"","IP":"10.0.0.2","Regexp":"^b.*"},{"Name":"a","IP":"10.0.0.1"}],"DefaultIP":""},{"Name":"other.","Records":null,"DefaultIP":""}]\n`,
    );
    assert.equal(network.recordZones.find('box.test')?.address?.toString(), '10.0.0.2');
  });

  it('zones: patterns that would take long for every name are refused, and not even compiled', async () => {
    const regexp = '([a-z]{0,30}[0-9]{0,30}){15}x$';
    const records = Array.from({ length: 1_000 }, () => ({ regexp, ip: '10.0.0.1' }));
    const begun = performance.now();
    const answer = await ask(
      'POST',
      '/services/dns/add',
      JSON.stringify({ name: 'slow.', records }),
    );
    assert.equal(answer.status, 400);
    assert.equal(answer.body, 'there is no room for more patterns of DNS zones\n');
    assert.ok(performance.now() - begun < 1_000);
    assert.equal(network.recordZones.find('x.slow'), undefined);
  });

  it("stats have gVisor's names", async () => {
    const stats = JSON.parse((await ask('GET', '/stats')).body);
    assert.equal(stats.BytesSent, 800);
    assert.equal(stats.BytesReceived, 700);
    assert.equal(stats.UDP.ChecksumErrors, 3);
    assert.equal(stats.NICs.Rx.Packets, 7);
  });

  it('tunnel: OK, then the dial; each direction ends by itself', async () => {
    const client = connect({ path, allowHalfOpen: true });
    const said = received(client);
    client.write('POST /tunnel?ip=192.168.127.2&port=22 HTTP/1.1\r\nHost: \r\n\r\nearly ');
    const [server] = await once(guest, 'connection');
    const heard = received(server);
    assert.deepEqual(dialled, ['192.168.127.2:22']);
    client.end('and late');
    assert.equal(await heard, 'early and late');
    server.end('answer');
    assert.equal(await said, 'OKanswer');
  });

  it('connect: nothing is answered, and what follows the head is the link', async () => {
    const client = connect(path);
    client.write('POST /connect HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n');
    client.write('frames');
    let data = '';
    for (let i = 0; i < 100 && data === ''; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      const [link] = attached;
      if (link === undefined) continue;
      link.resume();
      const [chunk] = await once(link, 'data');
      data = String(chunk);
    }
    assert.equal(data, 'frames');
    client.destroy();
  });

  it('a connection that HTTP has is not taken over: the words of Go', async () => {
    for (const path of ['/connect', '/tunnel?ip=192.168.127.2&port=22']) {
      await ask('GET', '/cam'); // on the same connection
      const { status, body } = await ask('POST', path);
      assert.deepEqual([status, body], [500, "webserver doesn't support hijacking\n"]);
    }
    assert.deepEqual([dialled, attached], [[], []]);
  });

  it('a head beyond the limit, and none at all', async () => {
    for (const [bytes, answer] of [
      [`POST /connect HTTP/1.1\r\nX: ${'x'.repeat(20_000)}`, /^HTTP\/1\.1 431 /],
      ['x'.repeat(20_000), /^HTTP\/1\.1 400 /],
      ['POST /connect HTTP/1.1\r\n', /^(HTTP\/1\.1 400 .*)?$/s],
      ['', /^$/],
    ] as const) {
      const client = connect(path);
      client.end(bytes);
      assert.match(await textOf(client), answer);
    }
    assert.deepEqual(attached, []);
  });

  it('a web page gets nothing', async () => {
    const client = connect(path);
    client.write('POST /connect HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\n\r\n');
    assert.match(await textOf(client), /^HTTP\/1\.1 403 /);
    assert.deepEqual(attached, []);
  });

  it('requests in pieces, and several in one, are answered', async () => {
    const client = connect(path);
    const answers = textOf(client);
    for (const piece of [
      'G',
      'ET /ca',
      'm HTTP/1.1\r\nHost: x\r\n',
      '\r\nGET /leases HTTP/1.1\r\n',
    ]) {
      client.write(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    client.write('Host: x\r\nConnection: close\r\n\r\n');
    const text = await answers;
    assert.equal(text.match(/HTTP\/1\.1 200 OK/g)?.length, 2);
  });
});
