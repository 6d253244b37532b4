import assert from 'node:assert/strict';
import { handledRights } from '../../../src/native/sandbox/landlock.ts';
import { parseStatus, threadStatuses } from '../../../src/native/sandbox/thread-status.ts';

describe('what the kernel says of threads', () => {
  it('capabilities that are held, or may be raised, no_new_privs and filters', () => {
    const text = `Name:\tnode
CapInh:\t0000000000000000
CapPrm:\t0000000000000400
CapEff:\t0000000000000001
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t3
`;
    assert.deepEqual(parseStatus(text), {
      name: 'node',
      capabilities: 0x401n,
      noNewPrivileges: true,
      filters: 3,
    });
  });

  it('a kernel that does not count filters says whether there is one', () => {
    assert.equal(parseStatus('Seccomp:\t2\n').filters, 2);
    assert.equal(parseStatus('Seccomp:\t0\n').filters, 0);
  });

  it('every thread of this process is listed', () => {
    assert.ok(threadStatuses().length > 1);
  });
});

describe('rights of Landlock', () => {
  for (const [version, rights] of [
    [1, 13],
    [2, 14],
    [3, 15],
    [4, 15],
    [5, 16],
    [9, 16],
  ] as const) {
    it(`version ${version} knows ${rights}`, () => {
      assert.equal(handledRights(version), (1n << BigInt(rights)) - 1n);
    });
  }
});
