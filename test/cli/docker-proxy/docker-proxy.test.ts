import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import type { ProxyRequest } from '../../../src/cli/docker-proxy/arguments.ts';
import { DockerProxy } from '../../../src/cli/docker-proxy/docker-proxy.ts';
import { parseEndpoint } from '../../../src/cli/docker-proxy/endpoint.ts';
import { Lease } from '../../../src/cli/docker-proxy/lease.ts';
import { freePort } from '../../support/free-port.ts';
import { FakeControl, refusedWith } from './fake-control.ts';

const TIMES = { answerMs: 2_000, openMs: 4_000, firstRetryMs: 2, lastRetryMs: 10 };
const IN_USE = 'cannot publish 0.0.0.0:1/tcp: something on the host listens there already.';

describe('docker-proxy: a port', () => {
  let control: FakeControl;
  /** Free when the test begins. */
  let port: number;
  const proxies: DockerProxy[] = [];

  beforeEach(async () => {
    port = await freePort();
    control = new FakeControl();
    await control.start();
  });
  afterEach(async () => {
    for (const proxy of proxies.splice(0)) proxy.close();
    await control.close();
  });

  const make = (change: Partial<ProxyRequest> = {}): DockerProxy => {
    const request: ProxyRequest = {
      protocol: 'tcp',
      hostAddress: '0.0.0.0',
      hostPort: port,
      containerAddress: '127.0.0.1',
      containerPort: 80,
      listenFd: undefined,
      control: control.path,
      controlTokenFile: undefined,
      local: 'never',
      sourceAddress: 'preserve',
      ...change,
    };
    const proxy = new DockerProxy(request, () => {}, TIMES);
    proxies.push(proxy);
    return proxy;
  };
  const asked = (): Record<string, unknown> => {
    const { guestAddress: _, ...rest } = control.asked.at(-1) ?? {}; // this machine's
    return rest;
  };
  const eventually = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setImmediate(resolve));
  };

  it('asks for the guest port that dockerd translates, and holds the lease', async () => {
    const proxy = make();
    await proxy.start();
    const base = { protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: port, guestPort: port };
    assert.deepEqual(asked(), { ...base, lease: 'connection' });
    assert.equal(control.held.size, 1);
    proxy.close();
    await eventually(() => control.held.size === 0);
  });

  it('the agent is asked for the container itself', async () => {
    await make({ control: `agent:${control.path}`, hostAddress: '127.0.0.1' }).start();
    const { via, guestAddress, guestPort } = control.asked[0] ?? {};
    assert.deepEqual(
      { via, guestAddress, guestPort },
      { via: 'mux', guestAddress: '127.0.0.1', guestPort: 80 },
    );
  });

  it('the agent is found by its socket, before the gateway', async () => {
    const { XDG_RUNTIME_DIR: before } = process.env;
    process.env['XDG_RUNTIME_DIR'] = control.dir;
    mkdirSync(join(control.dir, 'hawser'));
    symlinkSync(control.path, join(control.dir, 'hawser/agent.sock'));
    await make({ control: undefined }).start();
    if (before === undefined) delete process.env['XDG_RUNTIME_DIR'];
    else process.env['XDG_RUNTIME_DIR'] = before;
    assert.equal(control.asked[0]?.['via'], 'mux');
  });

  it('by the agent, `::` is covered where the container is published already', async () => {
    control.answer = () => refusedWith('EADDRINUSE', 'no');
    const sibling = { protocol: 'tcp', hostAddress: '::', hostPort: port, guestPort: 80 };
    const started = (): Promise<void> =>
      make({ control: `agent:${control.path}`, hostAddress: '::' }).start();
    control.listed = [{ ...sibling, guestAddress: '127.0.0.2' }];
    await assert.rejects(started(), { message: 'no' });
    control.listed = [{ ...sibling, guestAddress: '127.0.0.1' }];
    await started();
  });

  it('one address of the host needs a landing, which serves the gateway only', async () => {
    await make({ hostAddress: '127.0.0.1' }).start();
    const { guestPort, sourceAddress } = control.asked[0] ?? {};
    assert.equal(sourceAddress, 'gateway');
    assert.ok(typeof guestPort === 'number' && guestPort !== port);
    const client = connect(guestPort, '127.0.0.1');
    await assert.rejects(
      new Promise((_, reject) => {
        client.once('error', reject);
      }),
      { code: 'ECONNRESET' },
    );
  });

  it("a refusal is the host's words", async () => {
    control.answer = () => refusedWith('EADDRINUSE', IN_USE);
    await assert.rejects(make().start(), { message: IN_USE });
  });

  it('what is not hawser is named', async () => {
    control.answer = () => [404, { error: 'not found' }];
    await assert.rejects(make().start(), /status 404 and is not hawser's API/);
  });

  it('endpoints that do not answer have one time for all of them', async () => {
    const silent = createServer(() => {}).listen(join(control.dir, 'silent.sock'));
    const lease = new Lease(
      {
        endpoints: () =>
          Array.from({ length: 50 }, () =>
            parseEndpoint(join(control.dir, 'silent.sock'), undefined),
          ),
        ask: () => ({}),
        isCovered: () => Promise.resolve(false),
        say: () => {},
      },
      { ...TIMES, answerMs: 50, openMs: 120 },
    );
    const before = performance.now();
    await assert.rejects(lease.open(), { code: 'ETIMEDOUT' });
    assert.ok(performance.now() - before < 1_000);
    silent.close();
  });

  it('nobody there: says so, and what to do', async () => {
    await control.stop();
    await assert.rejects(make().start(), /does not answer at .*api\.sock.*HAWSER_CONTROL/);
  });

  for (const local of ['best-effort', 'always'] as const) {
    it(`a local port that is taken, with ${local}`, async () => {
      const other = createServer();
      await new Promise<void>((resolve) => {
        other.listen(port, '0.0.0.0', resolve);
      });
      const started = make({ local }).start();
      if (local === 'always') await assert.rejects(started, /inside the guest: .*EADDRINUSE/);
      else await started;
      other.close();
    });
  }

  it('with always, serves alone until the host answers', async () => {
    await control.stop();
    await make({ local: 'always' }).start();
    assert.equal(control.asked.length, 0);
    await control.start();
    await eventually(() => control.held.size === 1);
  });

  it('with always, a refusal is still one', async () => {
    control.answer = () => refusedWith('EADDRINUSE', IN_USE);
    await assert.rejects(make({ local: 'always' }).start(), { message: IN_USE });
  });

  it('publishes again when the daemon restarts, also if it refuses at first', async () => {
    await make().start();
    let refusals = 2;
    control.answer = () =>
      refusals-- > 0 ? refusedWith('EADDRINUSE', IN_USE) : [201, { id: '2' }];
    await control.stop();
    await control.start();
    await eventually(() => control.asked.length === 4 && control.held.size === 1);
  });

  it('closed while it waits to publish again: stays so', async () => {
    const proxy = make();
    await proxy.start();
    await control.stop();
    proxy.close();
    await control.start();
    await new Promise((resolve) => setTimeout(resolve, 3 * TIMES.lastRetryMs));
    assert.equal(control.asked.length, 1);
  });

  describe('`::` beside 0.0.0.0', () => {
    const sibling = { protocol: 'tcp', hostAddress: '0.0.0.0' };
    const rows: readonly [string, string, object | undefined, boolean][] = [
      ['a host without IPv6', 'EADDRNOTAVAIL', sibling, true],
      ['a kernel without IPv6', 'EAFNOSUPPORT', sibling, true],
      ['rules without IPv6', 'ERR_HAWSER_PUBLISH_FORBIDDEN', sibling, true],
      ['a host without IPv6, and no sibling', 'EADDRNOTAVAIL', undefined, false],
      ['the sibling of another port', 'EADDRNOTAVAIL', { ...sibling, hostPort: 2 }, false],
      ['the sibling of UDP', 'EADDRNOTAVAIL', { ...sibling, protocol: 'udp' }, false],
      ['published on `::` already', 'EADDRINUSE', { ...sibling, hostAddress: '::' }, true],
      ['published on both already', 'EADDRINUSE', { ...sibling, hostAddress: '*' }, true],
      ['narrowed and published already', 'EADDRINUSE', { ...sibling, hostAddress: '::1' }, true],
      ['taken by another program', 'EADDRINUSE', sibling, false],
      ['anything else', 'EMFILE', sibling, false],
    ];
    for (const [what, code, listed, isFine] of rows) {
      it(`${what}: ${isFine ? 'fine' : 'refused'}`, async () => {
        control.answer = () => refusedWith(code, 'no');
        const started = (): Promise<void> => make({ hostAddress: '::' }).start();
        // The host lists the guest's address as it was asked for.
        await assert.rejects(started(), { message: 'no' });
        const { guestAddress } = control.asked[0] ?? {};
        control.listed =
          listed === undefined
            ? []
            : [{ hostPort: port, guestPort: port, ...listed, guestAddress }];
        if (isFine) await started();
        else await assert.rejects(started(), { message: 'no' });
      });
    }
  });
});
