/** The three APIs for published ports, on one table, over a real Unix socket. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT } from '../../../src/base/log.ts';
import type { ApiListener } from '../../../src/control/api-listener.ts';
import { serveControlApi } from '../../../src/control/control-api.ts';
import { portSchema, portsSchema } from '../../../src/control/schema.ts';
import { WAITING_ROOM_LIMITS } from '../../../src/control/waiting-room.ts';
import { FakeNetwork } from '../../cli/fake-network.ts';
import { until } from '../../proxy/recording.ts';
import { itNeeding } from '../../support/requirements.ts';

interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

describe('control/ports', () => {
  let dir: string;
  let path: string;
  let network: FakeNetwork;
  let listener: ApiListener;
  let sockets: Socket[];

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    path = join(dir, 'api.sock');
    network = new FakeNetwork();
    sockets = [];
    listener = await serveControlApi({
      address: { kind: 'unix', path },
      name: 'test',
      version: '1',
      view: network.view,
      ports: network.ports,
      log: SILENT,
      onShutdown: () => {},
    });
  });
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    await listener.close();
    await network.close();
    rmSync(dir, { recursive: true });
  });

  const ask = (
    method: string,
    target: string,
    body?: unknown,
    type: string | null = 'application/json',
  ): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const bytes =
        typeof body === 'string' || body === undefined ? (body ?? '') : JSON.stringify(body);
      const headers = {
        host: 'unix',
        'content-length': bytes.length,
        ...(body === undefined || type === null ? {} : { 'content-type': type }),
      };
      const asked = request(
        { socketPath: path, method, path: target, headers, agent: false },
        (r) => {
          let text = '';
          r.setEncoding('utf8');
          r.on('data', (chunk) => {
            text += chunk;
          });
          r.on('end', () =>
            resolve({
              status: r.statusCode ?? 0,
              type: r.headers['content-type'] ?? '',
              body: text,
            }),
          );
        },
      );
      asked.on('error', reject);
      asked.end(bytes);
    });
  const post = async (body: object) => {
    const reply = await ask('POST', '/v1/ports', body);
    assert.equal(reply.status, 201, reply.body);
    return portSchema().parse(JSON.parse(reply.body));
  };
  const list = async () =>
    portsSchema().parse(JSON.parse((await ask('GET', '/v1/ports')).body)).ports;
  const expose = (body: unknown) => ask('POST', '/services/forwarder/expose', body);

  itNeeding('publishes with defaults, lists and withdraws', ['ipv6'], async () => {
    const port = await post({ guestPort: 80 });
    assert.deepEqual(
      { ...port, hostPort: 0 },
      {
        id: port.id,
        protocol: 'tcp',
        hostAddress: 'localhost',
        hostPort: 0,
        hostPath: null,
        guestAddress: null,
        guest: null,
        guestNow: { address: '192.168.127.2', mac: null, attached: false },
        guestPort: 80,
        guestPath: null,
        via: 'net',
        sourceAddress: 'preserve',
        proxyProtocol: null,
        lease: null,
        annotation: null,
        owner: 'api',
        link: null,
        active: 0,
      },
    );
    assert.ok(Number(port.hostPort) > 0);
    assert.deepEqual(await list(), [port]);
    assert.equal((await ask('DELETE', `/v1/ports/${port.id}`)).status, 204);
    assert.equal((await ask('DELETE', `/v1/ports/${port.id}`)).status, 404);
    assert.deepEqual(await list(), []);
  });

  itNeeding('every key is taken, and a listed port says it back', ['ipv6'], async () => {
    const asked = {
      protocol: 'tcp',
      hostAddress: '*',
      guestAddress: '192.168.127.3',
      guestPort: 81,
      via: 'net',
      sourceAddress: 'gateway',
      proxyProtocol: 'v2',
      annotation: 'mine',
    };
    const port = await post(asked);
    for (const [key, value] of Object.entries(asked)) assert.equal(Reflect.get(port, key), value);
    const mac = await post({ guest: '52-54-00-AB-00-01', guestPort: 80 });
    assert.equal(mac.guest, '52:54:00:ab:00:01');
    const { guestAddress, guest } = await post({ guest: '192.168.127.3', guestPort: 80 });
    assert.deepEqual([guestAddress, guest], ['192.168.127.3', null]);
    const udp = await post({ protocol: 'udp', hostAddress: '::1', guestPort: 53 });
    assert.equal(udp.hostAddress, '::1');
  });

  it('a Unix socket is private, takes over a dead one and not a live one or a file', async () => {
    const at = join(dir, 'deep', 'x.sock');
    const body = { protocol: 'unix', hostPath: at, guestAddress: '192.168.127.2', guestPort: 80 };
    const port = await post(body);
    assert.equal(statSync(at).mode & 0o777, 0o600);
    assert.equal((await ask('POST', '/v1/ports', body)).status, 409);
    await ask('DELETE', `/v1/ports/${port.id}`);
    await until(() => !existsSync(join(dir, 'deep')));
    mkdirSync(join(dir, 'deep'));
    writeFileSync(at, 'precious');
    assert.equal((await ask('POST', '/v1/ports', body)).status, 409);
  });

  const faults: readonly (readonly [object, number, string | undefined, RegExp])[] = [
    [{}, 400, undefined, /guestPort is missing/],
    [{ guestPort: 0 }, 400, undefined, /^guestPort: /],
    [{ guestPort: 80, x: 1 }, 400, undefined, /"x"/],
    [{ guestPort: 80, hostAddress: 'home' }, 400, undefined, /hostAddress: "home"/],
    [{ guestPort: 80, guest: '300.1.1.1' }, 400, undefined, /no address, name or Ethernet/],
    [{ guestPort: 80, guest: 'a', guestAddress: '192.168.127.2' }, 400, undefined, /not both/],
    [
      { guestPort: 80, guest: 'web', via: 'mux' },
      400,
      'ERR_HAWSER_PUBLISH_SYNTAX',
      /no names of guests/,
    ],
    [{ guestPort: 80, hostPath: '/x' }, 400, undefined, /protocol unix/],
    [{ guestPort: 80, lease: 'forever' }, 400, undefined, /^lease: /],
    [
      { guestPort: 80, guestAddress: '8.8.8.8' },
      503,
      'ERR_HAWSER_PUBLISH_NO_AGENT',
      /behind the guest/,
    ],
    [
      { guestPort: 80, guestAddress: '8.8.8.8', via: 'net' },
      400,
      'ERR_HAWSER_PUBLISH_SYNTAX',
      /not an address of a guest/,
    ],
    [{ guestPort: 80, guestPath: '/x' }, 400, undefined, /guestPath/],
    [{ guestPath: '/x' }, 503, 'ERR_HAWSER_PUBLISH_NO_AGENT', /no agent in the guest.*--mux/],
    [{ guestPort: 80, via: 'mux' }, 503, 'ERR_HAWSER_PUBLISH_NO_AGENT', /no agent/],
    [{ protocol: 'unix', guestPort: 80 }, 400, undefined, /hostPath is missing/],
    [{ protocol: 'unix', hostPath: 'x', guestPort: 80 }, 400, undefined, /absolute/],
    [
      { protocol: 'udp', guestPort: 1, proxyProtocol: 'v1' },
      400,
      'ERR_HAWSER_PUBLISH_UNSUPPORTED',
      /TCP/,
    ],
    [{ guestPort: 80, hostAddress: '192.0.2.1' }, 400, 'EADDRNOTAVAIL', /no such address/],
  ];
  for (const [body, status, code, detail] of faults) {
    it(`${JSON.stringify(body)} is answered by ${status} and words`, async () => {
      const reply = await ask('POST', '/v1/ports', body);
      assert.equal(reply.status, status);
      const document = JSON.parse(reply.body);
      assert.match(document.detail, detail);
      assert.equal(document.code, code);
    });
  }

  it('a port in use is a 409 with the words of the host', async () => {
    const taken = createServer();
    taken.listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    assert.ok(typeof address === 'object' && address !== null);
    const reply = await ask('POST', '/v1/ports', { hostPort: address.port, guestPort: 80 });
    assert.equal(reply.status, 409);
    assert.match(reply.body, /listens there already.*"code":"EADDRINUSE"/);
    const local = `127.0.0.1:${address.port}`;
    assert.deepEqual(await expose({ local, remote: '192.168.127.2:80' }), {
      status: 500,
      type: 'text/plain; charset=utf-8',
      body: `listen tcp ${local}: bind: address already in use\n`,
    });
    const forward = { proto: 'tcp', out_ip: '127.0.0.1', out_port: address.port, in_port: 80 };
    assert.deepEqual(await ask('PUT', '/forwards/expose/port', forward), {
      status: 400,
      type: 'application/json; charset=UTF-8',
      body: `{"message":"listen tcp ${local}: bind: address already in use"}\n`,
    });
    taken.close();
  });

  describe('leases', () => {
    const lease = async (): Promise<Socket> => {
      const socket = connect(path);
      sockets.push(socket);
      const body = JSON.stringify({ guestPort: 80, lease: 'connection' });
      socket.write(
        `POST /v1/ports HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      const [bytes] = await once(socket, 'data');
      assert.match(String(bytes), /^HTTP\/1\.1 201 /);
      return socket;
    };

    it('end with their connection, and only theirs', async () => {
      const kept = await post({ guestPort: 81 });
      const one = await lease();
      const two = await lease();
      assert.deepEqual(
        (await list()).map((port) => port.lease),
        [null, 'connection', 'connection'],
      );
      one.destroy();
      await until(() => network.ports.list().length === 2);
      two.end();
      await until(() => network.ports.list().length === 1);
      assert.deepEqual(
        (await list()).map(({ id }) => id),
        [kept.id],
      );
    });

    it('do not count against the limit of connections', async () => {
      for (let i = 0; i < WAITING_ROOM_LIMITS.served + 20; i++) await lease();
      assert.equal((await list()).length, WAITING_ROOM_LIMITS.served + 20);
    });

    it('need a connection that stays open', async () => {
      const reply = await ask('POST', '/v1/ports', { guestPort: 80, lease: 'connection' }); // Connection: close
      assert.equal(reply.status, 400);
      assert.match(reply.body, /must stay open/);
    });
  });

  describe("gvproxy's API", () => {
    const all = () => ask('GET', '/services/forwarder/all');

    it('lists what any API published, sorted, and withdraws it', async () => {
      assert.deepEqual(await all(), {
        status: 200,
        type: 'text/plain; charset=utf-8',
        body: '[]\n',
      });
      const port = await post({ guestAddress: '192.168.127.2', guestPort: 80 });
      const local = `127.0.0.1:${port.hostPort}`;
      assert.equal((await expose({ local: ':0', remote: '192.168.127.2:22' })).status, 200);
      const listed = JSON.parse((await all()).body);
      assert.deepEqual(listed[0], { local, remote: '192.168.127.2:80', protocol: 'tcp' });
      assert.match(listed[1].local, /^:\d+$/);
      const again = await expose({ local, remote: '192.168.127.2:80', protocol: 'tcp' });
      assert.equal(again.body, `proxy already running for tcp on ${local}\n`);
      for (const body of ['', 'proxy not found\n']) {
        const reply = await ask('POST', '/services/forwarder/unexpose', { local });
        assert.equal(reply.body, body);
      }
      assert.equal((await list()).length, 1);
    });

    for (const local of ['0.0.0.0', '[::]']) {
      it(`${local} is every address of both families, and is said back`, async () => {
        const port = await post({ guestPort: 1 });
        await ask('DELETE', `/v1/ports/${port.id}`);
        const at = `${local}:${port.hostPort}`;
        assert.equal((await expose({ local: at, remote: '192.168.127.2:80' })).status, 200);
        assert.equal((await list())[0]?.hostAddress, '*');
        assert.equal(JSON.parse((await all()).body)[0].local, at);
        const again = await expose({ local: at, remote: '192.168.127.2:80' });
        assert.equal(again.body, `proxy already running for tcp on ${at}\n`);
        const gone = await ask('POST', '/services/forwarder/unexpose', { local: at });
        assert.equal(gone.status, 200);
      });
    }

    it('publishes a Unix socket by a tcp:// remote', async () => {
      const local = join(dir, 'gv.sock');
      const reply = await expose({ local, remote: 'tcp://192.168.127.2:80', protocol: 'unix' });
      assert.equal(reply.status, 200, reply.body);
      assert.match((await all()).body, /"remote":"tcp:\/\/192.168.127.2:80","protocol":"unix"/);
    });

    const remote = '192.168.127.2:80';
    const odd: readonly (readonly [string, string, unknown, number, string])[] = [
      ['GET', 'expose', undefined, 400, 'post only'],
      ['POST', 'expose', '', 400, 'EOF'],
      ['POST', 'expose', 'garbage', 400, "invalid character 'g' looking for beginning of value"],
      [
        'POST',
        'expose',
        { local: ':0', remote: 'noport' },
        400,
        'address noport: missing port in address',
      ],
      ['POST', 'expose', { local: ':0', remote: 'example.com:80' }, 500, 'invalid remote addr'],
      ['POST', 'expose', { local: ':0', remote, protocol: 'sctp' }, 500, 'unknown protocol sctp'],
      [
        'POST',
        'expose',
        { local: 'x', remote, protocol: 'npipe' },
        500,
        'named pipes are not supported by this platform',
      ],
      [
        'POST',
        'expose',
        { local: '/x', remote: 'udp://h:1', protocol: 'unix' },
        500,
        'remote protocol for unix forwarder is not implemented: udp',
      ],
      ['POST', 'unexpose', { local: '127.0.0.1:1' }, 500, 'proxy not found'],
      ['GET', 'nothing', undefined, 404, '404 page not found'],
    ];
    for (const [method, name, body, status, words] of odd) {
      it(`${method} ${name} ${JSON.stringify(body)} is ${status} ${words}`, async () => {
        const reply = await ask(method, `/services/forwarder/${name}`, body, 'text/plain');
        assert.deepEqual([reply.status, reply.body], [status, `${words}\n`]);
      });
    }
  });

  describe("VPNKit's API", () => {
    const forwards = () => ask('GET', '/forwards/list');
    const forward = { proto: 'tcp', out_ip: '127.0.0.1', in_ip: '192.168.127.2', in_port: 80 };

    it('lists null, then forwards with the port resolved; unexpose never fails', async () => {
      assert.deepEqual(await forwards(), {
        status: 200,
        type: 'application/json; charset=UTF-8',
        body: 'null\n',
      });
      for (const method of ['PUT', 'POST']) {
        assert.equal((await ask(method, '/forwards/expose/port', forward)).body, '');
      }
      const listed = JSON.parse((await forwards()).body);
      assert.equal(listed.length, 2);
      assert.deepEqual({ ...listed[0], out_port: 0 }, { ...forward, out_port: 0 });
      for (const method of ['DELETE', 'POST', 'DELETE']) {
        const reply = await ask(method, '/forwards/unexpose/port', listed[0]);
        assert.deepEqual([reply.status, reply.body], [200, '']);
      }
      assert.equal((await list()).length, 1);
    });

    it('the annotation is a part of the identity', async () => {
      await ask('PUT', '/forwards/expose/port', { ...forward, annotation: 'a' });
      const [listed] = JSON.parse((await forwards()).body);
      assert.equal(listed.annotation, 'a');
      await ask('PUT', '/forwards/expose/port', listed); // the same: idempotent
      assert.equal((await list()).length, 1);
      const { annotation: _, ...bare } = listed;
      await ask('DELETE', '/forwards/unexpose/port', bare);
      assert.equal((await list()).length, 1);
      await ask('DELETE', '/forwards/unexpose/port', listed);
      assert.equal((await list()).length, 0);
    });

    it('what was asked for is the identity: without out_ip, and with null', async () => {
      const bare = { proto: 'tcp', in_port: 80 };
      for (const asked of [bare, { ...bare, out_ip: null, in_ip: null, annotation: null }]) {
        assert.equal((await ask('PUT', '/forwards/expose/port', asked)).status, 200);
        const [listed] = JSON.parse((await forwards()).body);
        assert.deepEqual(Object.keys(listed), ['proto', 'out_port', 'in_port']);
        const again = { ...asked, out_port: listed.out_port };
        assert.equal((await ask('PUT', '/forwards/expose/port', again)).status, 200);
        assert.equal((await list()).length, 1);
        assert.equal((await ask('DELETE', '/forwards/unexpose/port', again)).status, 200);
        assert.equal((await list()).length, 0);
      }
    });

    for (const outIp of ['0.0.0.0', '::']) {
      itNeeding(
        `out_ip ${outIp} is every address of both families, and is said back`,
        ['ipv6'],
        async () => {
          const asked = { proto: 'tcp', out_ip: outIp, in_ip: '192.168.127.2', in_port: 80 };
          await ask('PUT', '/forwards/expose/port', asked);
          const [port] = await list();
          for (const host of ['127.0.0.1', '::1']) {
            const client = connect(Number(port?.hostPort), host);
            sockets.push(client);
            const code = await new Promise((resolve) =>
              client.once('error', (error) => resolve(Reflect.get(error, 'code'))),
            );
            assert.equal(code, 'ECONNRESET'); // not refused: the port is there, a guest is not
          }
          const [listed] = JSON.parse((await forwards()).body);
          assert.deepEqual(listed, { ...asked, out_port: port?.hostPort });
          await ask('DELETE', '/forwards/unexpose/port', listed);
          assert.equal((await list()).length, 0);
        },
      );
    }

    it('a Unix path of an own forward is replaced, one of the configuration is not', async () => {
      const at = join(dir, 'pipe.sock');
      const pipe = { proto: 'unix', out_path: at, in_port: 80 };
      for (const annotation of ['a', 'b']) {
        const reply = await ask('PUT', '/forwards/expose/pipe', { ...pipe, annotation });
        assert.deepEqual([reply.status, reply.body], [200, '']);
        await once(
          connect(at).on('error', () => {}),
          'connect',
        );
      }
      assert.deepEqual(
        (await list()).map(({ annotation }) => annotation),
        ['b'],
      );
      for (const owner of ['config', 'library'] as const) {
        const hostPath = join(dir, `${owner}.sock`);
        const guest = { guestAddress: undefined, guestPort: 80 };
        await network.ports.publish({ protocol: 'unix', hostPath, ...guest }, owner);
        const reply = await ask('PUT', '/forwards/expose/pipe', {
          ...pipe,
          out_path: hostPath,
          annotation: 'c',
        });
        assert.match(reply.body, /address already in use/);
      }
    });

    it("a container's address needs the agent, and the answer says so", async () => {
      const reply = await ask('PUT', '/forwards/expose/port', { ...forward, in_ip: '172.17.0.2' });
      assert.equal(reply.status, 400);
      assert.match(reply.body, /no agent in the guest/);
    });

    const odd: readonly (readonly [string, string, unknown, string | null, number, RegExp])[] = [
      ['PUT', 'expose/port', { proto: 'unix' }, 'application/json', 400, /^"/],
      ['PUT', 'expose/pipe', { proto: 'tcp' }, 'application/json', 400, /^"/],
      [
        'PUT',
        'expose/port',
        'xx',
        'application/json',
        400,
        /^\{"message":"Syntax error: offset=1, error=invalid character 'x'/,
      ],
      ['PUT', 'expose/port', '{}', null, 415, /^\{"message":"Unsupported Media Type"\}\n$/],
      ['GET', 'nothing', undefined, null, 404, /^\{"message":"Not Found"\}\n$/],
      ['GET', 'constructor', undefined, null, 404, /Not Found/],
      ['GET', 'expose/port', undefined, null, 405, /Method Not Allowed/],
    ];
    for (const [method, name, body, type, status, words] of odd) {
      it(`${method} ${name} ${JSON.stringify(body)} is ${status}`, async () => {
        const reply = await ask(method, `/forwards/${name}`, body, type);
        assert.equal(reply.status, status);
        assert.match(reply.body, words);
      });
    }
  });
});
