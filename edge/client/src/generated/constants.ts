// Code generated from the Go declarations in subjects by subjects/generate. DO NOT EDIT.

/** A name as a constant: in capitals, with _ between its parts. */
type Constant<N extends string> =
  N extends `${infer A}:${infer B}` ? `${Constant<A>}_${Constant<B>}`
  : N extends `${infer A}-${infer B}` ? `${Constant<A>}_${Constant<B>}`
  : Uppercase<N>;

/** Gives names by their constants, DOCKET_ENTRY_ADDED for docket:entry:added, and others by those given. */
export function constants<const N extends string, const Others extends Record<string, string> = {}>(names: readonly N[], others?: Others) {
  const named = names.map((name) => [name.toUpperCase().replace(/[:-]/g, "_"), name]);
  return Object.assign(Object.fromEntries(named), others) as { readonly [Name in N as Constant<Name>]: Name } & Readonly<Others>;
}
