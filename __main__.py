"""The payments platform: settings, providers, platform, exports."""

import pulumi

from stacks import platform, providers, settings

stack = settings.load()
built = platform.build(stack, providers.build(stack))
for name, value in built.exports().items():
    pulumi.export(name, value)
