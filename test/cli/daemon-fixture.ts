/**
 * A daemon process around a network that only answers questions. Argument: JSON with the directory and
 * what to do.
 */
import { writeFileSync } from 'node:fs';
import { FaultWatch } from '../../src/base/faults.ts';
import { runDaemon } from '../../src/cli/daemon.ts';
import { createLog } from '../../src/cli/log.ts';
import { StderrSink } from '../../src/cli/stderr-sink.ts';
import { messageOf } from '../../src/network/errors.ts';
import { FakeNetwork, optionsIn } from './fake-network.ts';

const { dir, plan = '' } = JSON.parse(process.argv[2] ?? '{}');
const isHanging = plan === 'hang';

class PlannedNetwork extends FakeNetwork {
  override close(): Promise<void> {
    return isHanging ? new Promise(() => {}) : super.close();
  }
}

const log = await createLog({ level: 'info', format: 'json', file: undefined }, new StderrSink());
const options = optionsIn(dir, {
  readyFd: plan === 'ready-on-3' ? 3 : 1,
  exitWithGuest: true,
  pidFile: plan === 'no-pid-file' ? undefined : `${dir}/hawser.pid`,
});
try {
  const status = await runDaemon(options, {
    openNetwork: async () => {
      if (plan === 'fail') throw new Error('cannot listen: choose another --listen');
      const network = new PlannedNetwork([`qemu:${dir}/qemu.sock`]);
      writeFileSync(`${dir}/qemu.sock`, '');
      if (plan === 'guest-leaves') setImmediate(() => network.lastGuestGone());
      return network;
    },
    log,
    version: '0.0.0',
    events: process,
    graceMs: 50,
    exit: (code) => process.exit(code),
    onReady: () => {
      if (plan === 'fault') new FaultWatch(log);
      if (plan === 'crash' || plan === 'fault') {
        setImmediate(() => {
          throw new Error('oh no');
        });
      }
      if (plan === 'flood') {
        for (let i = 0; i < 5_000; i++) log.info({ i }, 'x'.repeat(200));
        writeFileSync(`${dir}/flooded`, '');
      }
    },
  });
  process.exit(status);
} catch (error) {
  process.stderr.write(`hawser: ${messageOf(error)}\n`);
  process.exit(1);
}
