/** The guest API by way of the agent: a network and an agent in one process, over a real Unix socket. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { SILENT } from '../../../src/base/log.ts';
import type { ControlEndpoint } from '../../../src/cli/docker-proxy/endpoint.ts';
import { type Answer, exchange } from '../../../src/cli/docker-proxy/exchange.ts';
import { GUEST_API_LIMITS } from '../../../src/control/ports/guest-api.ts';
import { openNetwork } from '../../../src/network/network.ts';
import type { Network } from '../../../src/network/network-interface.ts';
import { optionsIn } from '../fake-network.ts';
import { Pair, readAll, turns } from './pair.ts';

const GATEWAY = '192.168.127.1';
const LEASED = { hostAddress: '127.0.0.1', hostPort: 0, lease: 'connection' };

describe('the guest API by way of the agent', () => {
  let pair: Pair;
  let network: Network;
  const answers: Answer[] = [];

  beforeEach(() => {
    pair = new Pair();
  });
  afterEach(async () => {
    for (const { socket } of answers.splice(0)) socket.destroy();
    await pair.close();
    await network.close();
  });

  const start = async (enabled = true): Promise<void> => {
    const path = pair.path('mux.sock');
    network = await openNetwork(
      optionsIn(pair.dir, {
        listen: [],
        mux: { links: [`unix:${path}`], allow: [] },
        guestApi: { enabled, bind: ['127.0.0.1:1024-65535'] },
      }),
      SILENT,
    );
    const forward = `unix:${pair.path('hawser/agent.sock')}=tcp:${GATEWAY}:80`;
    await pair.startAgent('--connect', `unix:${path}`, '--forward-to-host', forward);
    await turns('the multiplexer', () => pair.agent?.peers.current !== undefined);
  };
  const endpoint = (): ControlEndpoint => ({
    kind: 'unix',
    path: pair.path('hawser/agent.sock'),
    carrier: 'mux',
    token: undefined,
  });
  const ask = async (body: object): Promise<{ readonly status: number; readonly body: string }> => {
    const answer = await exchange(endpoint(), 'POST', '/v1/ports', body, 2_000);
    answers.push(answer);
    return answer;
  };
  const ports = () => network.view.ports();

  it('publishes what the agent reaches, for as long as the connection lasts', async () => {
    await start();
    const guestPort = await pair.serve((socket) => socket.end('from the guest'));
    const { status } = await ask({ ...LEASED, guestAddress: '127.0.0.1', guestPort });
    assert.equal(status, 201);
    const [port] = ports();
    assert.deepEqual([port?.owner, port?.via], ['agent', 'mux']);
    const client = connect(port?.hostPort ?? 0, '127.0.0.1');
    assert.equal((await readAll(client)).toString(), 'from the guest');
    answers[0]?.socket.destroy();
    await turns('the port to be withdrawn', () => ports().length === 0);
  });

  it('an agent that goes withdraws what was asked through it', async () => {
    await start();
    await ask({ ...LEASED, guestPort: 80 });
    assert.equal(ports().length, 1);
    await pair.agent?.close();
    await turns('the port to be withdrawn', () => ports().length === 0);
  });

  for (const [what, body, says] of [
    ['a port that guests may not have', { hostPort: 80, guestPort: 80 }, /--guest-api-bind/],
    [
      'a file of the host',
      { protocol: 'unix', hostPath: '/tmp/x', guestPort: 80 },
      /not create sockets/,
    ],
    ['a port of a guest', { hostPort: 0, guestPort: 80, via: 'net' }, /via mux/],
  ] as const) {
    it(`refuses ${what}`, async () => {
      await start();
      const answer = await ask(body);
      assert.equal(answer.status, 403);
      assert.match(answer.body, says);
      assert.equal(ports().length, 0);
    });
  }

  it('sees its own ports only', async () => {
    await start();
    await ask({ ...LEASED, guestPort: 80 });
    const own = await exchange(endpoint(), 'GET', '/v1/ports', undefined, 2_000);
    answers.push(own);
    assert.match(own.body, /"owner":"agent"/);
    const flows = await exchange(endpoint(), 'GET', '/v1/flows', undefined, 2_000);
    answers.push(flows);
    assert.equal(flows.status, 404);
  });

  it('of two agents each publishes what it reaches itself, and has nothing of the other', async () => {
    const other = new Pair();
    try {
      const links = [pair.path('mux.sock'), pair.path('other.sock')];
      network = await openNetwork(
        optionsIn(pair.dir, {
          listen: [],
          mux: { links: links.map((path) => `unix:${path}`), allow: [] },
          guestApi: { enabled: true, bind: ['127.0.0.1:1024-65535'] },
        }),
        SILENT,
      );
      for (const [i, one] of [pair, other].entries()) {
        const forward = `unix:${one.path('hawser/agent.sock')}=tcp:${GATEWAY}:80`;
        await one.startAgent('--connect', `unix:${links[i]}`, '--forward-to-host', forward);
        await turns('the multiplexer', () => one.agent?.peers.current !== undefined);
      }
      const by = async (
        one: Pair,
        method: 'GET' | 'POST',
        path: string,
        body?: object,
      ): Promise<Answer> => {
        const api = { ...endpoint(), path: one.path('hawser/agent.sock') } as const;
        const answer = await exchange(api, method, path, body, 2_000);
        answers.push(answer);
        return answer;
      };
      const opened = (): (number | undefined)[] =>
        network.view.mux().map(({ peers }) => peers[0]?.opened);
      const guestPort = await other.serve((socket) => socket.end('from the other'));
      assert.equal((await by(other, 'POST', '/v1/ports', { ...LEASED, guestPort })).status, 201);
      const [port] = ports();
      const client = connect(port?.hostPort ?? 0, '127.0.0.1');
      assert.equal((await readAll(client)).toString(), 'from the other');
      assert.deepEqual(opened(), [0, 1]);
      assert.doesNotMatch((await by(pair, 'GET', '/v1/ports')).body, /"id"/);
      const local = { local: `127.0.0.1:${port?.hostPort}` };
      const refused = await by(pair, 'POST', '/services/forwarder/unexpose', local);
      assert.match(refused.body, /not found/);
      assert.equal(ports().length, 1);
      assert.match((await by(other, 'GET', '/v1/ports')).body, /"id"/);
      await other.agent?.close();
      await turns('the port to be withdrawn', () => ports().length === 0);
    } finally {
      await other.close();
    }
  });

  it('is bounded in connections', async () => {
    await start();
    const { ofGuest } = GUEST_API_LIMITS;
    for (let i = 0; i < ofGuest; i++) {
      answers.push(await exchange(endpoint(), 'GET', '/v1/ports', undefined, 2_000));
    }
    const [oldest] = answers;
    const gone = once(oldest?.socket ?? assert.fail(), 'close');
    answers.push(await exchange(endpoint(), 'GET', '/v1/ports', undefined, 2_000));
    await gone; // it made room for the last
    assert.equal(network.view.mux()[0]?.peers[0]?.channels, ofGuest);
    assert.deepEqual(network.view.counters()['guest-api'], { evicted: 1 });
    for (const { socket } of answers.splice(0)) socket.destroy();
    await turns('the channels to end', () => network.view.mux()[0]?.peers[0]?.channels === 0);
    assert.equal((await ask({ ...LEASED, guestPort: 80 })).status, 201);
  });

  it('is not there unless it is on', async () => {
    await start(false);
    await assert.rejects(ask({ ...LEASED, guestPort: 80 }));
  });
});
