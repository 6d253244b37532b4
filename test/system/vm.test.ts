import assert from 'node:assert/strict';
import { onPath } from '../../src/lab/on-path.ts';
import { seededSha256 } from '../../src/lab/seeded-stream.ts';
import type { StepPlan } from '../../src/lab/step-plan.ts';
import { vmSteps } from '../../src/lab/vm/planned-steps.ts';
import { withLibraries } from '../../src/lab/vm/program-files.ts';
import { startVm, type VmHandle, type VmStepResult } from '../../src/lab/vm/start-vm.ts';
import {
  holdStep,
  ipv6Step,
  leaseStep,
  SERVED_PATH,
  serveStep,
  type VmStep,
} from '../../src/lab/vm/vm-steps.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import { MessageClient } from '../transports/messages/message-client.ts';
import { GATEWAY6, HOST6, SUBNET6 } from './support/ipv6.ts';
import { GATEWAY, HOST, HTTP_PORT, Lab } from './support/lab.ts';
import { takesSteps } from './support/vm-steps.ts';

const PLAN: StepPlan = {
  gateway: GATEWAY,
  hostIp: HOST,
  ipv6: { gateway: GATEWAY6, hostIp: HOST6 },
  port: HTTP_PORT,
  sizeBytes: 64 << 20,
  seed: 9,
};
const BYTES = 16 << 20;
const HOST_PORT = 8080;
/** The VM has this machine's, where it is. */
const CURL = onPath('curl') ?? 'curl';

const curlStep = (url: string): VmStep => ({
  name: 'curl',
  script: `${CURL} -6 -sS -m 60 -o /tmp/data -w 'address=%{remote_ip} ' '${url}' || exit 1
echo "sha256=$(sha256sum /tmp/data | cut -c1-64)"
`,
});

/** A page that says who asks for it. */
const whoStep = (): VmStep => ({
  name: 'who',
  script: `cat >/tmp/www/cgi-bin/who <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n%s\n' "$REMOTE_ADDR"
END
chmod +x /tmp/www/cgi-bin/who
`,
});

systemSuite('a QEMU virtual machine', [...LAB, 'vm', 'ipv6', 'curl'], function () {
  this.timeout(180_000);
  let lab: Lab;
  let vm: VmHandle | undefined;
  beforeEach(async () => {
    lab = await Lab.open();
  });
  afterEach(async () => {
    vm?.kill();
    await vm?.ended;
    await lab.close();
  });

  it('boots, gets a lease, resolves, pings, downloads and uploads 64 MiB, and does by IPv6 what it can', async () => {
    const socket = lab.path('qemu.sock');
    await lab.startServers(lab.host);
    const daemon = await lab.startDaemon(['--listen', `qemu:${socket}`, '--subnet6', SUBNET6]);
    vm = startVm({ link: socket, mode: 'connect', memoryMiB: 320, steps: vmSteps(PLAN) });
    await takesSteps(vm, PLAN);
    assert.ok(daemon.isRunning);
  });

  for (const [name, listen, mode] of [
    ['a packet socket', (path: string) => `bess:${path}`, 'dgram-fd'],
    ['two paths', (path: string) => `qemu-dgram:${path},${path}.vm`, 'dgram'],
  ] as const) {
    it(`-netdev dgram over ${name}: the same`, async () => {
      const socket = lab.path('link.sock');
      await lab.startServers(lab.host);
      await lab.startDaemon(['--listen', listen(socket), '--subnet6', SUBNET6]);
      const card = mode === 'dgram-fd' ? MessageClient.packets(socket) : undefined;
      vm = startVm({
        ...{ link: `${socket}.vm,${socket}`, mode, memoryMiB: 320, steps: vmSteps(PLAN) },
        ...(card === undefined ? {} : { card: card.fd }),
      });
      card?.close();
      await takesSteps(vm, PLAN);
    });
  }

  for (const [scheme, mode] of [
    ['qemu', 'connect'],
    ['vhost-user', 'vhost-user'],
  ] as const) {
    it(`${scheme}: curl -6 of a server on the host and, back, of a published port, by name`, async () => {
      const socket = lab.path('link.sock');
      await lab.startServers(lab.host, '::1');
      const listen = ['--listen', `${scheme}:${socket}`, '--subnet6', SUBNET6];
      await lab.startDaemon([...listen, '-p', `${HOST_PORT}:80`]);
      const url = `http://host.hawser.internal:${HTTP_PORT}/bytes/${BYTES}?seed=${PLAN.seed}`;
      vm = startVm({
        ...{ link: socket, mode, memoryMiB: 320 },
        steps: [leaseStep(), ipv6Step(), curlStep(url), serveStep(), whoStep(), holdStep()],
        extras: { modules: [], files: withLibraries([CURL]) },
      });
      const sum = seededSha256(PLAN.seed, BYTES);
      const seen = new Map<string, VmStepResult>();
      for await (const result of vm.results) {
        assert.ok(result.ok, `${result.step}: ${result.words['error']}`);
        seen.set(result.step, result);
        if (result.step === 'who') break;
      }
      const { address, sha256 } = seen.get('curl')?.words ?? {};
      assert.deepEqual([address, sha256], [HOST6, sum]);
      const there = `http://localhost:${HOST_PORT}`;
      const curl = `curl -6 -sS -m 60 ${there}${SERVED_PATH} | sha256sum`;
      assert.match(await lab.host.run('sh', '-c', curl), new RegExp(`^${sum} `));
      const who = await lab.host.run('curl', '-6', '-sS', '-m', '20', `${there}/cgi-bin/who`);
      assert.ok(who.includes(HOST6), who); // ::1 as the guest knows it, so IPv6 all the way
    });
  }
});
