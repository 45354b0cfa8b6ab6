'use client';
// What the hooks use of React, imported in one place: React is CommonJS, which a bundler wraps anew for
// each file that imports it.

export { createContext, createElement, useContext, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
