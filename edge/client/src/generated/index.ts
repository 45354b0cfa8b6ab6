// Code generated from the Go declarations in subjects by subjects/generate. DO NOT EDIT.

export * from "./enums.js";
export * from "./guards.js";
export type * from "./maps.js";
export * from "./names.js";
export * from "./namespaces.js";
export type * from "./payloads.js";
