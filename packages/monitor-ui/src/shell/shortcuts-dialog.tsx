import { Dialog } from '../components/dialog.tsx'
import { PAGES } from './pages.ts'
import { NEW, SHORTCUTS } from './shortcuts.ts'

export function ShortcutsDialog({ mayWrite, onClose }: { mayWrite: boolean; onClose: () => void }) {
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose}>
      <dl className="grid grid-cols-[auto_1fr] items-center gap-x-5 gap-y-2">
        {SHORTCUTS.filter(([, does]) => mayWrite || does !== NEW).map(([keys, does]) => (
          <Shortcut key={does} keys={keys} does={does} />
        ))}
        {PAGES.map(({ key, label }) => (
          <Shortcut key={key} keys={['g', key]} does={`Go to ${label}`} />
        ))}
      </dl>
    </Dialog>
  )
}

function Shortcut({ keys, does }: { keys: readonly string[]; does: string }) {
  return (
    <>
      <dt className="flex gap-1">
        {keys.map((key) => (
          <kbd
            key={key}
            className="min-w-6 rounded border border-edge bg-raised px-1.5 py-0.5 text-center font-mono text-xs"
          >
            {key}
          </kbd>
        ))}
      </dt>
      <dd>{does}</dd>
    </>
  )
}
