import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Start } from './start';
import './styles/base.css';
import './styles/shell.css';
import './styles/pages.css';
import './styles/conversation.css';

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <Start />
  </StrictMode>,
);
