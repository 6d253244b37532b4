/** In a user namespace, beside the network of another: prints the code with which that is not entered. */
import { loadPosix } from '../../src/native/load.ts';
import { errorCode } from '../../src/network/errors.ts';

const [, , netns = ''] = process.argv;
try {
  loadPosix().inNetns(netns, () => process.stdout.write('entered'));
} catch (error) {
  process.stdout.write(errorCode(error));
}
