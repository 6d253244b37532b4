/** Every step of the demo against a real network, with the guest that is simulated in this process. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SILENT } from '../../../src/base/log.ts';
import { runGuestSteps } from '../../../src/cli/demo/guest-steps.ts';
import { MUX_PORT } from '../../../src/cli/demo/published-steps.ts';
import { StepRunner } from '../../../src/cli/demo/step-runner.ts';
import { startFileServer } from '../../../src/lab/file-server.ts';
import type { GuestAcceptor } from '../../../src/lab/guest/embedded-guest.ts';
import { asTransfer, runGuestCommand } from '../../../src/lab/guest/run-guest-command.ts';
import { SimulatedGuest } from '../../../src/lab/guest/simulated-guest.ts';
import type { DaemonNetwork } from '../../../src/network/daemon-network.ts';
import { openNetwork } from '../../../src/network/network.ts';
import { optionsIn } from '../fake-network.ts';

const SIZE = 3 * 1024 * 1024 + 17;
const isAcceptor = (network: object): network is GuestAcceptor => 'attachSegment' in network;

describe('cli/demo steps, simulated guest', () => {
  let dir: string;
  let network: DaemonNetwork;
  let guest: SimulatedGuest;
  let server: Server;
  const quit = new AbortController();

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    server = await startFileServer('127.0.0.1', 0);
    guest = new SimulatedGuest();
    const mux = { links: [`guest:${MUX_PORT}`], allow: [] };
    network = await openNetwork(optionsIn(dir, { listen: ['qemu:127.0.0.1:0'], mux }), SILENT);
    assert.ok(isAcceptor(network));
    guest.attach(network);
  });
  afterEach(async () => {
    quit.abort();
    await network.close();
    await guest.close();
    server.closeAllConnections();
    server.close();
    rmSync(dir, { recursive: true });
  });

  it('all but those of IPv6 succeed, the fetches through real sockets by a client of its own', async () => {
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const { port } = address;
    const plan = {
      gateway: '192.168.127.1',
      hostIp: '192.168.127.254',
      ipv6: { gateway: 'fd12:3456::1', hostIp: 'fd12:3456::254' },
      port,
      sizeBytes: SIZE,
      seed: 3,
    };
    const progressed = new Set<number>();
    const runner = new StepRunner({
      begin: () => {},
      progress: (bytes) => progressed.add(bytes),
      end: () => {},
    });
    const url = await runGuestSteps(guest, plan, runner, {
      ports: network.ports,
      muxLinks: () => network.view.mux(),
      fetch: async (at, onProgress) =>
        asTransfer(
          await runGuestCommand(['download', at], (argv) => argv, quit.signal, onProgress),
        ),
    });
    const left = runner.reports.filter(({ skipped }) => skipped === true);
    assert.deepEqual(
      left.map(({ step, detail }) => [step, detail]),
      [['address-ipv6', 'left out: the simulated guest has IPv4 alone']],
    );
    for (const { step, ok, skipped, detail } of runner.reports) {
      assert.ok(ok || skipped === true, `${step}: ${detail}`);
    }
    assert.equal(runner.reports.length, 11);
    for (const bytes of progressed) assert.ok(bytes <= SIZE);
    const channels = network.view.mux().flatMap(({ peers }) => peers.map(({ opened }) => opened));
    assert.deepEqual(channels, [1]); // the multiplexer carried one of the two
    assert.equal(await (await fetch(`${url}/`)).text(), 'hello from the guest\n');
  });
});
