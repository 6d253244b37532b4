import assert from 'node:assert/strict';
import { queueProblems } from '../../../src/transports/messages/queue-bounds.ts';

const QUEUE = '/proc/sys/net/unix/max_dgram_qlen';
const BUFFER = '/proc/sys/net/core/wmem_max';

const problems = (values: Readonly<Record<string, string>>): readonly string[] =>
  queueProblems((path) => {
    const value = values[path];
    if (value === undefined) throw new Error(`ENOENT: ${path}`);
    return value;
  });

describe('transports/messages/queue-bounds', () => {
  it("names what bounds a machine's burst as a system has it by default, and what to do", () => {
    const [queue = '', buffer = '', ...others] = problems({
      [QUEUE]: '10\n',
      [BUFFER]: '212992\n',
    });
    assert.match(queue, /max_dgram_qlen is 10: .*`sysctl -w net\.unix\.max_dgram_qlen=512`/);
    assert.match(buffer, /wmem_max is 212992: .*`sysctl -w net\.core\.wmem_max=7340032`/);
    assert.deepEqual(others, []);
  });

  it('is content with what it advises, and with what the system does not say', () => {
    assert.deepEqual(problems({ [QUEUE]: '512\n', [BUFFER]: '7340032\n' }), []);
    assert.deepEqual(problems({}), []);
  });
});
