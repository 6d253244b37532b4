/**
 * hawser with one guest, whose flows to some addresses depend on what it states: `node inspected-main.js LINK
 * ADDRESS=NAME...`. Prints `ready`, and each denial.
 */
import { createNetwork } from '../../../src/network/create-network.ts';
import { type Destination, Destinations } from '../../../src/proxy/flows/destinations.ts';
import type { Denial, NameCheck } from '../../../src/proxy/inspect/name-check.ts';
import type { Claim } from '../../../src/services/sniff/reader.ts';

const [, , link = '', ...pairs] = process.argv;
const names = new Map(
  pairs.map((pair): [string, string] => {
    const [address = '', name = ''] = pair.split('=');
    return [address, name];
  }),
);

class OneName implements NameCheck {
  private readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  onClaim({ by, name }: Claim): Denial | undefined {
    if (name === this.name) return undefined;
    return this.deny(`${name ?? 'no name'}, by ${by}`);
  }

  onFault(fault: string): Denial {
    return this.deny(fault);
  }

  private deny(what: string): Denial {
    process.stdout.write(`denied: ${what}\n`);
    return `${what} is not allowed here`;
  }
}

const { decide } = Destinations.prototype;
Destinations.prototype.decide = function (...args): Destination {
  const to = decide.apply(this, args);
  if (to.kind !== 'outside') return to;
  const name = names.get(to.address);
  return name === undefined ? to : { ...to, check: new OneName(name) };
};

await createNetwork({ listen: [link] });
process.stdout.write('ready\n');
