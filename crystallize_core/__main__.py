from __future__ import annotations

from crystallize_core.cli import main

if __name__ == "__main__":
    main()
