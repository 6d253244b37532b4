/** Two guests publish, by the guest API at the gateway and through the agents that they are in. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import type { Daemon } from './support/daemon.ts';
import { SUBNET6, slaacAddress } from './support/ipv6.ts';
import { GATEWAY, type Guest, Lab } from './support/lab.ts';
import type { Background, CommandResult } from './support/processes.ts';
import { published } from './support/published.ts';
import { until } from './support/until.ts';

const AGENT = fileURLToPath(new URL('../../hawser-agent.mjs', import.meta.url));
/** HTTP that says its name, and who asks: `NAME`. */
const SERVER = `require('http').createServer((q, r) => r.end(process.argv[1] + ' ' + q.socket.remoteAddress)).listen(80, '::', () => console.log('listening'))`;
const WAYS = ['net', 'mux'] as const;
type Way = (typeof WAYS)[number];

class Publisher {
  readonly guest: Guest;
  readonly agent: Background;
  readonly address: string;
  private readonly socket: string;

  private constructor(guest: Guest, agent: Background, address: string, socket: string) {
    this.guest = guest;
    this.agent = agent;
    this.address = address;
    this.socket = socket;
  }

  /** A guest with its address, a server, and an agent at the link `link` whose socket is `socket`. */
  static async start(guest: Guest, link: string, socket: string): Promise<Publisher> {
    const { address } = await guest.lease();
    const server = guest.start([process.execPath, '-e', SERVER, guest.name]);
    await server.prints(/listening/);
    const forward = ['--forward-to-host', `unix:${socket}=tcp:${GATEWAY}:80`];
    const agent = guest.start([process.execPath, AGENT, '--connect', link, ...forward]);
    await agent.prints(/multiplexer up/);
    return new Publisher(guest, agent, address, socket);
  }

  /** @returns the status and the body */
  async ask(way: Way, path: string, ...more: string[]): Promise<readonly [string, string]> {
    const at = way === 'net' ? [] : ['--unix-socket', this.socket];
    const curl = ['curl', '-sS', '-m', '10', '-w', '\n%{http_code}', ...at, ...more];
    const said = await this.guest.run(...curl, `http://${GATEWAY}/v1/ports${path}`);
    const end = said.lastIndexOf('\n');
    return [said.slice(end + 1), said.slice(0, end)];
  }

  publish(way: Way, request: object): Promise<readonly [string, string]> {
    const body = JSON.stringify({ hostAddress: '127.0.0.1', guestPort: 80, ...request });
    return this.ask(way, '', '-H', 'content-type: application/json', '-d', body);
  }
}

systemSuite('ports of two guests', [...LAB, 'curl', 'ipv6'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let daemon: Daemon;
  let first: Publisher;
  let second: Publisher;

  const start = async (...more: string[]): Promise<void> => {
    lab = await Lab.open();
    const guests = [await lab.addGuest(), await lab.addGuest()];
    const links = ['one.sock', 'two.sock'].map((name) => `unix:${lab.path(name)}`);
    daemon = await lab.startDaemon([
      ...guests.flatMap(({ link }) => ['--listen', link]),
      ...links.flatMap((link) => ['--mux', link]),
      ...['--guest-api', 'on', '--subnet6', SUBNET6, '--link-grace', '1', ...more],
    ]);
    const started = guests.map((guest, i) =>
      Publisher.start(guest, links[i] ?? '', lab.path(`agent-${i}.sock`)),
    );
    const [one, two] = await Promise.all(started);
    assert.ok(one !== undefined && two !== undefined);
    [first, second] = [one, two];
  };
  afterEach(() => lab.close());

  const get = (port: number): Promise<CommandResult> =>
    lab.host.try('curl', '-sS', '-m', '10', `http://127.0.0.1:${port}/`);

  it('who is second at a port is told of the conflict, cannot withdraw it, and leaves it when gone', async () => {
    await start();
    const taken: number[] = [];
    for (const ofFirst of WAYS) {
      for (const ofSecond of WAYS) {
        const hostPort = 8301 + taken.length;
        taken.push(hostPort);
        const [status, made] = await first.publish(ofFirst, { hostPort });
        assert.equal(status, '201', made);
        const [code, problem] = await second.publish(ofSecond, { hostPort });
        assert.equal(code, '409', `${ofFirst}, ${ofSecond}: ${problem}`);
        assert.match(
          problem,
          new RegExp(`hawser itself publishes 127.0.0.1:${hostPort}/tcp already`),
        );
        const { id } = JSON.parse(made);
        assert.equal((await second.ask(ofSecond, `/${id}`, '-X', 'DELETE'))[0], '404');
        const [, listed] = await second.ask(ofSecond, '');
        assert.deepEqual(JSON.parse(listed).ports, []);
      }
    }
    const own = WAYS.map((_, i) => 8311 + i);
    for (const [i, way] of WAYS.entries()) {
      assert.equal((await second.publish(way, { hostPort: own[i] }))[0], '201', way);
    }
    const places = (ports: readonly number[]) => ports.map((port) => `127.0.0.1 ${port}/tcp`);
    assert.deepEqual(await published(daemon), places([...taken, ...own]));
    await second.agent.stop();
    await second.guest.run('ip', 'link', 'del', 'eth0');
    await until('the ports of who has left to go', async () => {
      const left = await published(daemon);
      return left.length === taken.length;
    });
    assert.deepEqual(await published(daemon), places(taken));
    for (const port of taken) {
      const { stdout } = await get(port);
      assert.ok(stdout.startsWith(`${first.guest.name} `), `${port}: ${stdout}`);
    }
  });

  for (const [isolated, ...more] of [[false], [true, '--isolate-guests']] as const) {
    it(`for an address of another: refused, but from the agent, which goes there itself${isolated ? ', and not where guests are isolated' : ''}`, async () => {
      await start(...more);
      const others = [first.address, await slaacAddress(first.guest)];
      for (const [i, guestAddress] of others.entries()) {
        for (const [way, via, why] of [
          ['net', 'net', /is not yours/],
          ['net', 'mux', /not through the agent/],
          ['mux', 'net', /through the agent only/],
        ] as const) {
          const [status, problem] = await second.publish(way, { guestAddress, via });
          assert.equal(status, '403', problem);
          assert.match(problem, why);
        }
        const hostPort = 8321 + i;
        const [status, problem] = await second.publish('mux', { guestAddress, hostPort });
        assert.equal(status, '201', problem);
        const { status: failed, stdout } = await get(hostPort);
        if (isolated) assert.notEqual(failed, 0, stdout);
        else {
          const own = [second.address, await slaacAddress(second.guest)][i];
          assert.equal(stdout.replace('::ffff:', ''), `${first.guest.name} ${own}`);
        }
      }
    });
  }
});
