import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { PlaceSampler } from '../../../src/control/ports/place-sampler.ts';

describe('control/ports/place-sampler', () => {
  let samples: number;
  let sampler: PlaceSampler;
  beforeEach(() => {
    samples = 0;
    sampler = new PlaceSampler(() => {
      samples++;
    });
  });
  afterEach(() => sampler.close());

  it('reads nothing while the daemon starts, and soon afterwards without being asked', async () => {
    assert.equal(samples, 0);
    while (samples === 0) await sleep(5);
    assert.equal(samples, 1);
  });

  it('has read when a guest has come, however early, and then once a second', async () => {
    sampler.require();
    assert.equal(samples, 1);
    sampler.require();
    assert.equal(samples, 1);
    const begun = performance.now();
    while (samples === 1) await sleep(5);
    assert.ok(performance.now() - begun > 900);
  });

  it('reads no more once it is closed', async () => {
    sampler.close();
    sampler.require();
    await sleep(100);
    assert.equal(samples, 0);
  });
});
