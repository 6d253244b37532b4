/** A virtual machine whose only way to the host is the vsock that the daemon serves to QEMU: agent and ports. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { AGENT_MIB, agentInVm, besideAgent } from '../../src/cli/demo/vm/agent-files.ts';
import { moduleFiles, packageFiles } from '../../src/cli/demo/vm/program-files.ts';
import { agentStep, type VmStep } from '../../src/cli/demo/vm/vm-steps.ts';
import { download, upload } from './support/clients.ts';
import type { Daemon } from './support/daemon.ts';
import { Lab } from './support/lab.ts';
import { LAB, systemSuite } from './support/requirements.ts';
import { until } from './support/until.ts';
import { VsockVm } from './support/vsock-vm.ts';

const VSOCK_PORT = 4099;
const PUBLISHED = 9100;
const REFUSED = 9101;
const MIB = 1 << 20;
const Mux = z.object({
  links: z.array(z.object({ peers: z.array(z.object({ state: z.string(), role: z.string() })) })),
});
const SOCKET_IN_VM = '/tmp/docker.sock';
const HERE = fileURLToPath(import.meta.url);
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const COMMANDS = `${ROOT}dist/src/cli/demo/guest/guest-commands.js`;
const KOFFI = ['koffi', `@koromix/koffi-linux-${process.arch}`];
const DOCKER = `require('http').createServer((q, r) => r.end('Docker ' + q.url)).listen('${SOCKET_IN_VM}')`;

systemSuite(
  'an agent in a virtual machine, over vhost-user-vsock',
  [...LAB, 'vm', 'curl'],
  function () {
    this.timeout(180_000);
    let lab: Lab;
    let daemon: Daemon;
    let vm: VsockVm;
    const url = `http://127.0.0.1:${PUBLISHED}`;
    const unix = (): string => lab.path('docker-of-vm.sock');

    before(async () => {
      lab = await Lab.open();
      const device = lab.path('vsock.sock');
      daemon = await lab.startDaemon([
        ...[
          '--listen',
          `qemu:${lab.path('qemu.sock')}`,
          '--mux',
          `vhost-vsock:${device}:${VSOCK_PORT}`,
        ],
        ...['-p', `${PUBLISHED}:127.0.0.1:8000`, '-p', `${REFUSED}:127.0.0.1:1`],
        ...['-p', `unix:${unix()}:${SOCKET_IN_VM}`],
      ]);
      const agent = agentInVm();
      const more = [
        ...KOFFI.flatMap((name) => packageFiles(name, HERE)),
        ...moduleFiles(COMMANDS, `${ROOT}package.json`),
      ];
      const run = (...words: string[]): string =>
        `'${agent.node}' ${words.map((word) => `"${word}"`).join(' ')} >/dev/null 2>&1 &\n`;
      const steps: readonly VmStep[] = [
        agentStep(agent.node, agent.entry, `vsock:${VSOCK_PORT}`),
        { name: 'serve', script: run(besideAgent(COMMANDS).to, 'serve', '8000') },
        { name: 'docker', script: run('-e', DOCKER) },
        { name: 'stay', script: 'sleep 600\n' },
      ];
      vm = new VsockVm(lab.dir, device, steps, {
        files: [...agent.files, ...more.map(besideAgent)],
        memoryMiB: AGENT_MIB,
      });
      await until(
        'the agent to be up',
        async () => {
          const failed = vm.results.find(({ ok }) => !ok);
          assert.equal(failed, undefined);
          const { links } = Mux.parse(JSON.parse(await daemon.request('/v1/mux')));
          return links.some(({ peers }) => peers.some(({ state }) => state === 'ready'));
        },
        120_000,
      );
    });
    after(async () => {
      await vm?.kill();
      await lab?.close();
    });
    afterEach(() => assert.ok(daemon.isRunning, daemon.stderr));

    it("the VM's docker.sock answers on the host", async () => {
      const curl = ['curl', '-sS', '-m', '10', '--unix-socket', unix(), 'http://docker/version'];
      const text = await until(
        'the socket to answer',
        async () => await lab.host.run(...curl),
        60_000,
      );
      assert.equal(text, 'Docker /version');
    });

    it('a published TCP port: whole transfers each way', async () => {
      await until('the server', async () => await lab.host.run('curl', '-sSf', url), 60_000);
      await download(lab.host, url, 16 * MIB);
      await upload(lab.host, url, 16 * MIB);
    });

    it('a refused target resets the client', async () => {
      const { status } = await lab.host.try(
        'curl',
        '-sS',
        '-m',
        '10',
        `http://127.0.0.1:${REFUSED}`,
      );
      assert.equal(status, 56);
    });
  },
);
