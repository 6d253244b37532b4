/**
 * The initial value of a byte count: zero, stored as a double, which holds for -0 only.
 *
 * Such a count outgrows 31 bits within seconds. V8 keeps a field that has only held small integers in another form
 * than one that has held doubles, and when the form changes, it gives up the class's layout and with it all code that
 * was compiled for it: the data path would be compiled again in the middle of the first large transfer.
 */
export const NO_BYTES: number = -0;

/** A count for display: 0 where it is -0, which is equal but prints differently. */
export const plainCount = (bytes: number): number => bytes + 0;
