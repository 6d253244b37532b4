/** Everything that flows is shown with the right fields, can be ended, and is followed. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { FlowView } from '../../src/control/flow-view.ts';
import { flowLineSchema, flowsSchema } from '../../src/control/schema.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import { GATEWAY, type Guest, HTTP_PORT, Lab, type Namespace, OUTSIDE } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { until } from './support/until.ts';

const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const AGENT = fileURLToPath(new URL('../../hawser-agent.mjs', import.meta.url));
const MUX_PORT = 4099;
const PUBLISHED = 9100;
const PUBLISHED_UDP = 9101;
const BY_AGENT = 9102;
const BY_AGENT_UDP = 9103;
const FORWARDED = 9300;
const HOST_ONLY = HTTP_PORT + 100;
const ECHO = HTTP_PORT + 5;
const NAME = 'box.example';

/** A client on the host first drains what its kernel has: so the rate of downloads is not low. */
const RATE = '1M';
/** Sends for ever, always from the same port. */
const KEEP_SENDING = `const s = require('dgram').createSocket('udp4');
  setInterval(() => s.send('12345', +process.argv[2], process.argv[1], () => {}), 50);
  s.once('message', () => console.log('answered'));`;
/** Holds a connection, with a query each second where it is DNS. */
const HOLD = `const s = require('net').connect(+process.argv[2], process.argv[1], () => console.log('connected'));
  const query = Buffer.from('001d00010100000100000000000003626f78076578616d706c650000010001', 'hex');
  if (process.argv[2] === '53') setInterval(() => s.write(query), 1000);
  s.on('data', () => {});
  s.on('error', (e) => { console.log(e.code); process.exit(3); });
  s.on('close', () => process.exit(3));`;

interface Row {
  readonly what: string;
  readonly start: () => Background;
  /** What the API shows of it. */
  readonly shows: Partial<FlowView>;
  /** Whether it begins again by itself, as another flow, when it is ended. */
  readonly returns?: true;
}

systemSuite('the book of flows', [...LAB, 'curl', 'dig', 'ping'], function () {
  this.timeout(60_000);
  let lab: Lab;
  let guest: Guest;
  let address: string;
  let follower: Background;
  const ports = new Map<number, string>();

  const hawser = (...args: string[]): readonly string[] => [
    ...['env', `XDG_RUNTIME_DIR=${lab.dir}`, process.execPath, MAIN, ...args],
  ];
  const api = (method: string, path: string): Promise<string> =>
    lab.host.run(
      ...['curl', '-sS', '-X', method, '-w', '%{http_code}', '--unix-socket'],
      ...[lab.path('hawser/default/api.sock'), `http://hawser${path}`],
    );
  const list = async (...filter: string[]): Promise<readonly FlowView[]> => {
    const text =
      filter.length === 0
        ? (await api('GET', '/v1/flows')).slice(0, -3)
        : await lab.host.run(...hawser('flows', '--json', ...filter));
    return flowsSchema().parse(JSON.parse(text)).flows;
  };
  const find = async (wanted: Partial<FlowView>): Promise<FlowView | undefined> =>
    (await list()).find((flow) => fits(flow, wanted));
  /** What the follower has printed. */
  const lines = () =>
    follower.stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => flowLineSchema().parse(JSON.parse(line)));

  /** A download that lasts. */
  const load = (where: Namespace, url: string): Background =>
    where.start(['curl', '-sS', '--limit-rate', RATE, '-o', '/dev/null', `${url}/bytes/900000000`]);
  const node = (where: Namespace, script: string, ...args: string[]): Background =>
    where.start([process.execPath, '-e', script, ...args]);

  before(async () => {
    lab = await Lab.open();
    guest = await lab.addGuest();
    const hosts = lab.path('hosts');
    writeFileSync(hosts, `${OUTSIDE} ${NAME}\n`);
    await lab.startServers(lab.outside);
    await lab.startServers(lab.host, '127.0.0.1', HOST_ONLY);
    await lab.startDaemon([
      ...['--listen', guest.link, '--hosts', hosts, '--guest-api', 'on'],
      ...['--mux', `guest:${MUX_PORT}`, '--mux-allow', `tcp:127.0.0.1:${HOST_ONLY}`],
      ...['-p', `${PUBLISHED}:${HTTP_PORT}`, '-p', `${PUBLISHED_UDP}:${ECHO}/udp`],
      ...['-p', `${BY_AGENT}:127.0.0.1:${HTTP_PORT}`],
      ...['-p', `${BY_AGENT_UDP}:127.0.0.1:${ECHO}/udp`],
    ]);
    ({ address } = await guest.lease());
    await lab.startServers(guest);
    const forward = `tcp:127.0.0.1:${FORWARDED}=tcp:127.0.0.1:${HOST_ONLY}`;
    const args = ['--listen', `tcp:0.0.0.0:${MUX_PORT}`, '--forward-to-host', forward];
    await guest.start([process.execPath, AGENT, ...args]).prints(/agent ready/);
    await until('the multiplexer', async () => (await api('GET', '/v1/mux')).includes('"ready"'));
    const shown = JSON.parse(await lab.host.run(...hawser('ports', '--json')));
    for (const { id, hostPort } of shown.ports) ports.set(hostPort, id);
    follower = lab.host.start(hawser('flows', '--follow', '--json'));
    await follower.prints(/"present"/); // the link to the agent
    assert.equal((await guest.run('dig', `@${GATEWAY}`, '+short', NAME)).trim(), OUTSIDE);
  });
  after(() => lab.close());

  const rows: readonly Row[] = [
    {
      what: 'a connection of the guest, with the name that it asked for',
      start: () => load(guest, `http://${OUTSIDE}:${HTTP_PORT}`),
      shows: {
        ...{ protocol: 'tcp', openedBy: 'guest', via: 'net', service: null, publication: null },
        ...{ remoteAddress: OUTSIDE, remotePort: HTTP_PORT, name: NAME, state: 'established' },
      },
    },
    {
      what: 'a UDP binding',
      start: () => node(guest, KEEP_SENDING, OUTSIDE, `${ECHO}`),
      shows: {
        ...{ protocol: 'udp', openedBy: 'guest', via: 'net', remoteAddress: OUTSIDE, tcp: null },
        ...{ remotePort: ECHO, name: NAME, publication: null },
      },
      returns: true,
    },
    {
      what: 'a ping',
      start: () => guest.start(['ping', '-i', '0.2', OUTSIDE]),
      shows: {
        ...{ protocol: 'icmp', openedBy: 'guest', via: 'net', remoteAddress: OUTSIDE },
        ...{ remotePort: 0, name: NAME, state: 'active', tcp: null },
      },
      returns: true,
    },
    {
      what: 'a client of a published port',
      start: () => load(lab.host, `http://127.0.0.1:${PUBLISHED}`),
      shows: { protocol: 'tcp', openedBy: 'host', via: 'net', guestPort: HTTP_PORT },
    },
    {
      what: 'a client of a published UDP port',
      start: () => node(lab.host, KEEP_SENDING, '127.0.0.1', `${PUBLISHED_UDP}`),
      shows: { protocol: 'udp', openedBy: 'host', via: 'net', guestPort: ECHO },
      returns: true,
    },
    {
      what: 'a client of a port published through the agent',
      start: () => load(lab.host, `http://127.0.0.1:${BY_AGENT}`),
      shows: {
        ...{ protocol: 'tcp', openedBy: 'host', via: 'mux', guestAddress: '127.0.0.1' },
        ...{ guestPort: HTTP_PORT, remoteAddress: '127.0.0.1' },
      },
    },
    {
      what: 'a client of a UDP port published through the agent',
      start: () => node(lab.host, KEEP_SENDING, '127.0.0.1', `${BY_AGENT_UDP}`),
      shows: { protocol: 'udp', openedBy: 'host', via: 'mux', guestPort: ECHO },
      returns: true,
    },
    {
      what: 'a channel that the agent opened to the host',
      start: () => load(guest, `http://127.0.0.1:${FORWARDED}`),
      shows: {
        ...{ protocol: 'tcp', openedBy: 'guest', via: 'mux', publication: null },
        ...{ remoteAddress: '127.0.0.1', remotePort: HOST_ONLY },
      },
    },
    {
      what: 'DNS over TCP',
      start: () => node(guest, HOLD, GATEWAY, '53'),
      shows: {
        ...{ protocol: 'tcp', openedBy: 'guest', service: 'dns', remoteAddress: GATEWAY },
        ...{ remotePort: 53, state: 'established' },
      },
    },
    {
      what: 'a connection to the guest API',
      start: () => node(guest, HOLD, GATEWAY, '80'),
      shows: { protocol: 'tcp', openedBy: 'guest', service: 'guest-api', remotePort: 80 },
    },
  ];
  const publications = new Map([
    [rows[3], PUBLISHED],
    [rows[4], PUBLISHED_UDP],
    [rows[5], BY_AGENT],
    [rows[6], BY_AGENT_UDP],
  ]);

  for (const row of rows) {
    it(`${row.what}: shown, followed, and ended by its id`, async () => {
      const started = row.start();
      const port = publications.get(row);
      const publication = port === undefined ? undefined : ports.get(port);
      const wanted = publication === undefined ? row.shows : { ...row.shows, publication };
      const flow = await until('the flow to have carried both ways', async () => {
        const found = await find(wanted);
        const carries = row.shows.service === 'guest-api' || (found?.bytesToGuest ?? 0) > 0;
        return carries ? found : undefined;
      }).catch(async (error: unknown) => {
        throw new Error(`${String(error)}: ${JSON.stringify(await list(), null, 1)}`);
      });
      assert.ok(flow.guestId !== null, 'whose it is');
      if (flow.via === 'net') assert.equal(flow.guestAddress, address);
      if (flow.protocol === 'icmp') assert.equal(flow.bytesToHost, 56 * (flow.packetsToHost ?? 0));
      if (flow.protocol === 'udp' && flow.via === 'net') {
        assert.equal(flow.bytesToGuest, 5 * (flow.packetsToGuest ?? 0));
      }
      const table = await lab.host.run(...hawser('flows'));
      assert.match(table, new RegExp(`^${flow.id} +${flow.protocol} `, 'm'));
      const one = JSON.parse((await api('GET', `/v1/flows/${flow.id}`)).slice(0, -3));
      assert.equal(one.id, flow.id);

      assert.equal(await api('DELETE', `/v1/flows/${flow.id}`), '204');
      assert.match(await api('GET', `/v1/flows/${flow.id}`), /404$/);
      if (row.returns) {
        const next = await until('the flow to begin again', () => find(wanted));
        assert.ok(Number(next.id) > Number(flow.id));
        await started.stop();
        await api('DELETE', `/v1/flows/${next.id}`);
      } else {
        assert.ok((await started.exited) > 0, 'the client has noticed');
      }
      await until('the follower to have both', () => {
        const own = lines().filter((line) => 'flow' in line && line.flow.id === flow.id);
        return own.map(({ kind }) => kind).join() === 'opened,ended';
      });
      const end = lines().find((line) => line.kind === 'ended' && line.flow.id === flow.id);
      assert.equal(end !== undefined && 'why' in end && end.why, 'ended-by-request');
    });
  }

  it('the link to the agent is a flow too, and is dialled again when it is ended', async () => {
    const wanted = { service: 'mux', guestPort: MUX_PORT, openedBy: 'host', via: 'net' } as const;
    const link = await until('the link', () => find(wanted));
    assert.equal(await api('DELETE', `/v1/flows/${link.id}`), '204');
    const next = await until('another', () => find(wanted));
    assert.ok(Number(next.id) > Number(link.id));
    await until('the multiplexer', async () => (await api('GET', '/v1/mux')).includes('"ready"'));
  });

  it('filters', async () => {
    const started = load(guest, `http://${OUTSIDE}:${HTTP_PORT}`);
    const { id } = await until('the flow', () => find(rows[0]?.shows ?? {}));
    for (const filter of [
      ['--to', NAME],
      ['--to', '*.example'],
      ['--remote', OUTSIDE],
      ['--remote', '198.18.0.0/24'],
      ['--port', `${HTTP_PORT}`],
      ['--guest', address],
      ['--protocol', 'tcp'],
    ]) {
      assert.ok(
        (await list(...filter)).some((flow) => flow.id === id),
        filter.join(' '),
      );
    }
    assert.deepEqual(await list('--to', 'other.example'), []);
    assert.deepEqual(await list('--guest', '192.168.127.200'), []);
    await started.stop();
    await until('the end', async () => !(await list()).some((flow) => flow.id === id));
  });

  it('what a guest may not reach is followed as blocked', async () => {
    const { status } = await guest.try('curl', '-sS', '-m', '3', 'http://169.254.169.254/');
    assert.notEqual(status, 0);
    await until('the block', () =>
      lines().some(
        (line) => line.kind === 'blocked' && line.block.remoteAddress === '169.254.169.254',
      ),
    );
  });
});

function fits(flow: FlowView, wanted: Partial<FlowView>): boolean {
  const have: Readonly<Record<string, unknown>> = { ...flow };
  return Object.entries(wanted).every(([key, value]) => have[key] === value);
}
