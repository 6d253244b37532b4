import assert from 'node:assert/strict';
import { Emitter } from '../../src/base/emitter.ts';

interface Events {
  readonly one: number;
  readonly two: string;
}

describe('base/emitter', () => {
  it('calls the listeners of an event, in order, each once', () => {
    const emitter = new Emitter<Events>();
    const seen: string[] = [];
    const first = (n: number): void => void seen.push(`first ${n}`);
    emitter.on('one', first);
    emitter.on('one', (n) => seen.push(`second ${n}`));
    emitter.on('one', first);
    emitter.on('two', (text) => seen.push(text));
    emitter.emit('one', 1);
    assert.deepEqual(seen, ['first 1', 'second 1']);
    assert.ok(emitter.has('one'));
    emitter.off('one', first);
    emitter.emit('one', 2);
    assert.deepEqual(seen.slice(2), ['second 2']);
    emitter.clear();
    emitter.emit('one', 3);
    assert.equal(seen.length, 3);
    assert.ok(!emitter.has('one'));
  });

  it('a listener that goes while others are called is not missed', () => {
    const emitter = new Emitter<Events>();
    let calls = 0;
    const leaving = (): void => {
      calls++;
      emitter.off('one', leaving);
    };
    emitter.on('one', leaving);
    emitter.on('one', () => calls++);
    emitter.emit('one', 1);
    emitter.emit('one', 1);
    assert.equal(calls, 3);
  });

  it("a listener's exception is nobody's but the program's", async () => {
    const emitter = new Emitter<Events>();
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const uncaught = new Promise((resolve) => process.once('uncaughtException', resolve));
    let called = false;
    emitter.on('one', () => {
      throw new Error('of the program');
    });
    emitter.on('one', () => {
      called = true;
    });
    emitter.emit('one', 1);
    assert.ok(called);
    assert.match(String(await uncaught), /of the program/);
    for (const listener of listeners) process.on('uncaughtException', listener);
  });
});
