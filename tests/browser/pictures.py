"""Pictures of all pages: python -m tests.browser.pictures FOLDER"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.browser.eyes import Eyes, chromium
from tests.browser.scene import Scene
from tests.serving import uvicorn_here

KINDS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 720}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 720}},
    "small": {"color_scheme": "light", "viewport": {"width": 360, "height": 640}},
}
_SELDOM = ("error", "revoke")  # these are in no document
_LONGEST = 400  # how much higher than wide a picture is at most


async def main(folder: Path) -> None:
    scene = await Scene.open()
    async with chromium() as browser, uvicorn_here(scene.app) as url:
        for kind, options in KINDS.items():
            async with Eyes.open(browser, url, **options) as eyes:
                await eyes.look()
                await take(eyes, folder / f"admin-sign-in-{kind}.png")
                await eyes.sign_in(scene.operator.secret)
                for name, path in scene.pages.items():
                    if name in _SELDOM:
                        continue
                    await eyes.look(path)
                    await take(eyes, folder / f"admin-{name}-{kind}.png")


async def take(eyes: Eyes, file: Path) -> None:
    await eyes.page.wait_for_load_state("load")
    width, height = await eyes.page.evaluate("[document.body.clientWidth, document.documentElement.scrollHeight]")
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, width + _LONGEST)}
    await eyes.page.screenshot(path=file, full_page=True, clip=clip)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
