import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { type IpAddress, ipv4 } from '../../../src/base/ip-address.ts';
import { freePort } from '../../support/free-port.ts';
import { Pair, readAll, turns } from './pair.ts';

const LOOPBACK: IpAddress = ipv4(0x7f00_0001);
const echo = (socket: Socket): void => {
  socket.pipe(socket);
};
const resetOf = async (socket: Socket): Promise<string> => {
  const [error] = await once(socket, 'error');
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
};

describe('agent', () => {
  let pair: Pair;
  beforeEach(() => {
    pair = new Pair();
  });
  afterEach(() => pair.close());

  async function overUnix(...args: string[]): Promise<void> {
    const path = pair.path('mux.sock');
    await pair.startHost([`unix:${path}`]);
    await pair.startAgent('--connect', `unix:${path}`, ...args);
    await pair.ready();
  }

  const tcp = (port: number) => ({ kind: 'port', address: LOOPBACK, port }) as const;

  it('a client of a published port reaches a server of the guest, and half-close works', async () => {
    await overUnix();
    const port = await pair.publish(tcp(await pair.serve(echo)));
    const client = pair.client(port);
    client.end('hello');
    assert.equal((await readAll(client)).toString(), 'hello');
    await turns('the client to be done with', () => pair.ended === 1);
  });

  it('a target without an address is on the loopback of the guest', async () => {
    await overUnix();
    const target = { kind: 'port', address: undefined, port: await pair.serve(echo) } as const;
    const client = pair.client(await pair.publish(target));
    client.end('x');
    assert.equal((await readAll(client)).toString(), 'x');
  });

  it('reaches a Unix socket of the guest', async () => {
    await overUnix();
    await pair.serve(echo, pair.path('guest.sock'));
    const port = await pair.publish({ kind: 'path', path: pair.path('guest.sock') });
    const client = pair.client(port);
    client.end('unix');
    assert.equal((await readAll(client)).toString(), 'unix');
  });

  it('sends the preface before anything of the client', async () => {
    await overUnix();
    const port = await pair.publish(tcp(await pair.serve(echo)), Buffer.from('PROXY '));
    const client = pair.client(port);
    client.end('data');
    assert.equal((await readAll(client)).toString(), 'PROXY data');
  });

  it('a refused target resets the client, and the log says why', async () => {
    await overUnix();
    const client = pair.client(await pair.publish(tcp(1)));
    assert.equal(await resetOf(client), 'ECONNRESET');
    assert.match(pair.log.lines.join('\n'), /"reason":"refused".*ECONNREFUSED/);
    assert.equal(pair.ended, 1);
  });

  it('what --allow does not name is prohibited', async () => {
    await overUnix('--allow', 'tcp:127.0.0.1:9');
    const client = pair.client(await pair.publish(tcp(await pair.serve(echo))));
    assert.equal(await resetOf(client), 'ECONNRESET');
    assert.match(pair.log.lines.join('\n'), /"reason":"prohibited"/);
  });

  it('without an agent a client is refused, and served when one connects', async () => {
    const path = pair.path('mux.sock');
    await pair.startHost([`unix:${path}`]);
    const port = await pair.publish(tcp(await pair.serve(echo)));
    assert.equal(await resetOf(pair.client(port)), 'ECONNRESET');
    await pair.startAgent('--connect', `unix:${path}`);
    await pair.ready();
    const client = pair.client(port);
    client.end('now');
    assert.equal((await readAll(client)).toString(), 'now');
  });

  it("a reset of the guest's server resets the client, and the other way round", async () => {
    await overUnix();
    const served: Socket[] = [];
    const port = await pair.publish(tcp(await pair.serve((socket) => served.push(socket))));
    const one = pair.client(port);
    one.write('x');
    await turns('the server to be reached', () => served.length === 1);
    served[0]?.resetAndDestroy();
    assert.equal(await resetOf(one), 'ECONNRESET');
    const two = pair.client(port);
    two.write('x');
    await turns('the server to be reached', () => served.length === 2);
    const [, second] = served;
    assert.ok(second !== undefined);
    const reset = resetOf(second);
    second.resume();
    two.resetAndDestroy();
    assert.equal(await reset, 'ECONNRESET');
  });

  it('transfers arrive whole both ways at once', async () => {
    await overUnix();
    const port = await pair.publish(tcp(await pair.serve(echo)));
    const sent = randomBytes(8 << 20);
    const client = pair.client(port);
    client.end(sent);
    const hash = createHash('sha256')
      .update(await readAll(client))
      .digest('hex');
    assert.equal(hash, createHash('sha256').update(sent).digest('hex'));
  });

  it('a link that drops in mid-transfer resets the client; the next link serves again', async () => {
    const path = pair.path('mux.sock');
    await overUnix();
    let server: Socket | undefined;
    const guestPort = await pair.serve((socket) => {
      server = socket;
      socket.write(Buffer.alloc(64 << 20));
    });
    const port = await pair.publish(tcp(guestPort));
    const client = pair.client(port);
    await once(client, 'data');
    const reset = resetOf(client);
    client.resume();
    await pair.agent?.close();
    assert.equal(await reset, 'ECONNRESET');
    assert.deepEqual(
      pair.events.map(({ kind, mux, why }) => [kind, mux.link, mux.dialect, why]),
      [
        ['up', `unix:${path}`, 'hawser', null],
        ['down', `unix:${path}`, 'hawser', 'link-down'],
      ],
    );
    assert.match(pair.log.lines.join('\n'), /"reason":"link-down"/);
    await turns('the server to be notified', () => server?.destroyed === true);
    assert.equal(pair.host?.view()[0]?.peers.length, 0);
    await pair.startAgent('--connect', `unix:${path}`);
    await pair.ready();
    const again = pair.client(port);
    await once(again, 'data');
  });

  it('an agent dials again when the host comes back', async () => {
    await overUnix();
    await pair.host?.close();
    await turns('the agent to see it', () => pair.agent?.peers.current === undefined);
    await pair.startHost([`unix:${pair.path('mux.sock')}`]);
    await pair.ready();
  });

  it('the host dials an agent that listens', async () => {
    const path = pair.path('agent.sock');
    await pair.startHost([`connect:unix:${path}`]);
    await pair.startAgent('--listen', `unix:${path}`);
    await pair.ready();
    assert.equal(pair.host?.view()[0]?.state, 'connected');
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const client = pair.client(await pair.publish(tcp(await pair.serve(echo))));
    client.end('dialled');
    assert.equal((await readAll(client)).toString(), 'dialled');
  });

  it('UDP: each client has its own answers, and the size limit holds', async () => {
    await overUnix();
    const server = createSocket('udp4');
    server.on('message', (bytes, from) => {
      server.send(Buffer.concat([Buffer.from('re:'), bytes]), from.port, from.address);
    });
    server.bind(0, '127.0.0.1');
    await once(server, 'listening');
    const listener = pair.host?.carrier.listenUdp('1', {
      protocol: 'udp',
      hostAddress: LOOPBACK,
      hostPort: 0,
      guestAddress: LOOPBACK,
      guestPort: server.address().port,
    });
    assert.ok(listener !== undefined);
    const ask = async (text: string): Promise<string> => {
      const socket = createSocket('udp4');
      socket.send(text, listener.hostPort, '127.0.0.1');
      const [answer] = await once(socket, 'message');
      socket.close();
      return String(answer);
    };
    const big = 'x'.repeat(60_000);
    const answers = await Promise.all([ask('one'), ask('two'), ask(big)]);
    assert.deepEqual(answers, ['re:one', 're:two', `re:${big}`]);
    assert.equal(listener.active, 3);
    listener.stop();
    await turns('the channels to go', () => pair.host?.view()[0]?.peers[0]?.channels === 0);
    server.close();
  });

  it("VPNKit's dialect serves as well", async () => {
    await overUnix('--plain');
    assert.equal(pair.host?.view()[0]?.peers[0]?.dialect, 'vpnkit');
    const port = await pair.publish(tcp(await pair.serve(echo)));
    const client = pair.client(port);
    client.end('plain');
    assert.equal((await readAll(client)).toString(), 'plain');
    assert.equal(await resetOf(pair.client(await pair.publish(tcp(1)))), 'ECONNRESET');
  });

  it('forwards a socket of the guest to what the host allows, and to nothing else', async () => {
    const path = pair.path('mux.sock');
    const allowed = await pair.serve(echo);
    const other = await pair.serve(echo);
    await pair.startHost([`unix:${path}`], [`tcp:127.0.0.1:${allowed}`]);
    await pair.startAgent(
      ...['--connect', `unix:${path}`],
      ...['--forward-to-host', `unix:${pair.path('good')}=tcp:127.0.0.1:${allowed}`],
      ...['--forward-to-host', `unix:${pair.path('bad')}=tcp:127.0.0.1:${other}`],
    );
    await pair.ready();
    const client = pair.client(pair.path('good'));
    client.end('out');
    assert.equal((await readAll(client)).toString(), 'out');
    const refused = pair.client(pair.path('bad'));
    refused.write('x');
    refused.resume();
    await turns('the end', () => refused.readableEnded || refused.destroyed);
    assert.match(pair.log.lines.join('\n'), /not allowed/);
  });

  it('a TCP link takes no peer but those named', async () => {
    const port = await freePort();
    const greets = async (...args: string[]): Promise<boolean> => {
      const agent = await pair.startAgent('--listen', `tcp:127.0.0.1:${port}`, ...args);
      const client = pair.client(port);
      let got = 0;
      client.on('data', (chunk) => {
        got += chunk.length;
      });
      await turns('an answer', () => got > 0 || client.readableEnded || client.destroyed);
      await agent.close();
      return got > 0;
    };
    assert.equal(await greets('--peer', '192.0.2.1'), false);
    assert.equal(await greets('--peer', '127.0.0.1'), true);
  });

  it('a file that is no socket is not taken for one', async () => {
    chmodSync(pair.dir, 0o700);
    await assert.rejects(pair.startHost([`unix:${pair.dir}`]), /not a socket/);
  });

  it('many channels at once', async () => {
    await overUnix();
    const port = await pair.publish(tcp(await pair.serve(echo)));
    const all = Array.from({ length: 200 }, async (_, i) => {
      const client = pair.client(port);
      client.end(`n${i}`);
      assert.equal((await readAll(client)).toString(), `n${i}`);
    });
    await Promise.all(all);
    assert.equal(pair.ended, 200);
  });
});
