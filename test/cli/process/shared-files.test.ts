/** Two daemons that were given one file, in their sandboxes. */
import assert from 'node:assert/strict';
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { until } from '../../proxy/recording.ts';
import { describeNeeding } from '../../support/requirements.ts';
import { type Program, Workplace } from './hawser.ts';

describeNeeding('files that two daemons share', ['linux', 'koffi'], () => {
  let place: Workplace;
  beforeEach(() => {
    place = new Workplace();
  });
  afterEach(() => place.close());

  const start = (name: string, ...args: readonly string[]): Promise<Program> =>
    place.daemon(['--name', name, '--api', `unix:${place.path(`${name}.sock`)}`, ...args]);
  /** It is a while before native calls are loaded. */
  const locks = ({ pid }: Program, path: string) =>
    until(() => {
      const { ino } = statSync(path);
      const lines = readFileSync('/proc/locks', 'latin1').split('\n');
      return lines.some((line) => line.includes(` ${pid} `) && line.includes(`:${ino} `));
    });

  for (const [option, file, what, contents] of [
    ['--lease-file', 'leases.json', 'lease file', '{"version":1,"leases":[]}'],
    ['--lease-file', 'leases.json.names', "file of guests' names", '{"version":1,"guests":[]}'],
    ['--audit-log', 'audit.log', 'audit log', ''],
    ['--pcap', 'frames.pcap', 'capture file', ''],
  ] as const) {
    it(`${option}, ${file}: the second says which, and works; the first says nothing`, async () => {
      const path = place.path(file);
      writeFileSync(path, contents);
      const given = path.replace(/\.names$/, '');
      const first = await start('first', option, given);
      await locks(first, path);
      const second = await start('second', option, given);
      const { 0: line = '' } = await second.says(/.* is in use by another process.*/);
      const { level, msg, file: named } = JSON.parse(line);
      assert.deepEqual([level, named], ['warn', path]);
      assert.equal(msg, `the ${what} is in use by another process: give each a file of its own`);
      second.child.kill();
      assert.deepEqual(await second.ended, { status: 0, signal: null });
      assert.doesNotMatch(first.stderr, /in use/);
    });
  }

  it('an audit log that was rotated is claimed again', async () => {
    const path = place.path('audit.log');
    const first = await start('first', '--audit-log', path);
    await locks(first, path);
    renameSync(path, `${path}.1`);
    first.child.kill('SIGHUP');
    await until(() => statSync(path, { throwIfNoEntry: false }) !== undefined);
    await locks(first, path);
    const second = await start('second', '--audit-log', path);
    await second.says(/the audit log is in use by another process/);
    const third = await start('third', '--audit-log', `${path}.1`);
    await locks(third, `${path}.1`);
    assert.doesNotMatch(first.stderr + third.stderr, /in use/);
  });
});
