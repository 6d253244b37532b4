import { messageOf, RunError } from '../../network/errors.ts';

/** @throws RunError that begins with what was given for it */
export async function named<T>(option: string, serving: Promise<T>): Promise<T> {
  try {
    return await serving;
  } catch (cause) {
    throw new RunError(`${option}: ${messageOf(cause)}`, { cause });
  }
}
