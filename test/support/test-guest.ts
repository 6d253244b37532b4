import { Owner } from '../../src/base/shares/owner.ts';
import { Guest } from '../../src/stack/guest.ts';

let nextId = 1;

/** A guest without a link: an owner for what a test makes. */
export function testGuest(): Guest {
  const id = nextId++;
  return new Guest(id, new Owner(`guest ${id}`), 0);
}
