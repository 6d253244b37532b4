/** A program that is started with a guest on descriptor 3. Writes a line when it is attached, and one when the guest has gone. */
import { createNetwork } from '../../src/network/create-network.ts';

const network = await createNetwork();
const attachment = network.attach(3, { name: 'inherited' });
process.stdout.write(`${network.view.info().links[0]?.link}\n`);
await attachment.closed;
process.stdout.write('gone\n');
await network.close();
