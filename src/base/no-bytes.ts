/**
 * What a count of bytes begins with: zero, as V8 stores a double.
 *
 * Such a count outgrows 31 bits within seconds. V8 keeps a field that has only held small integers in another form
 * than one that has held doubles, and when the form changes, it gives up the class's layout and with it all code that
 * was compiled for it: the data path would be compiled again in the middle of the first large transfer. A literal 0 is
 * a small integer; an element of a `Float64Array` never is.
 */
export const NO_BYTES: number = new Float64Array(1)[0] ?? 0;
