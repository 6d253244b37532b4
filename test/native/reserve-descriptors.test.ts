import assert from 'node:assert/strict';
import { F_DUPFD_CLOEXEC } from '../../src/native/constants.ts';
import { bindLibc, THIS_HOST } from '../../src/native/libc.ts';
import { DescriptorRoom } from '../../src/native/reserve-descriptors.ts';

const F_GETFD = 1;

describe('native/reserve-descriptors', () => {
  const calls = () => {
    const running: { readonly lowest: number; readonly done: (fd: number) => void }[] = [];
    const closed: number[] = [];
    const room = new DescriptorRoom({
      fcntlElsewhere: (_fd, command, lowest, done) => {
        assert.equal(command, F_DUPFD_CLOEXEC);
        running.push({ lowest, done });
      },
      close: (fd) => closed.push(fd),
    });
    return { running, closed, room };
  };

  it('one call runs for all that ask meanwhile, and none where there is room', () => {
    const { running, closed, room } = calls();
    for (let i = 0; i < 1000; i++) room.reserve(64);
    assert.deepEqual(
      running.map(({ lowest }) => lowest),
      [63],
    );
    running.pop()?.done(63);
    assert.deepEqual(closed, [63]);
    room.reserve(64);
    room.reserve(10);
    assert.equal(running.length, 0);
  });

  it('who wants more meanwhile has it by the next call', () => {
    const { running, room } = calls();
    for (const count of [64, 500, 1000, 100]) room.reserve(count);
    assert.equal(running.length, 1);
    running.pop()?.done(63);
    assert.equal(running[0]?.lowest, 999);
    running.pop()?.done(999);
    assert.equal(running.length, 0);
  });

  it('a call that fails is not made again until somebody asks', () => {
    const { running, closed, room } = calls();
    room.reserve(64);
    running.pop()?.done(-1);
    assert.equal(running.length, 0);
    room.reserve(64);
    assert.equal(running.length, 1);
    assert.deepEqual(closed, []);
  });
});

describe('native/libc', () => {
  it('more calls than threads can take are answered all the same', async () => {
    const c = bindLibc('test', '', THIS_HOST);
    const results: number[] = [];
    await new Promise<void>((resolve) => {
      for (let i = 0; i < 1000; i++) {
        c.fcntlElsewhere(2, F_GETFD, 0, (result) => {
          if (results.push(result) === 1000) resolve();
        });
      }
      assert.equal(results.length, 0);
    });
    assert.ok(results.includes(-1) && results.some((result) => result >= 0));
  });
});
