# SPDX-License-Identifier: Apache-2.0
"""A small URDF without a fault, for tests to spoil: it turns, and bends twice."""

from __future__ import annotations

_JOINT = """
  <joint name="{name}" type="revolute">
    <parent link="{parent}"/><child link="{child}"/>
    <origin xyz="0 0 {z}"/><axis xyz="{axis}"/>
    <limit lower="-2.5" upper="2.5" effort="{effort}" velocity="2"/>
    <dynamics damping="0.4" friction="0.1"/>
  </joint>"""

_LINK = """
  <link name="{name}">
    <inertial>
      <origin xyz="0 0 0.15"/><mass value="{mass}"/>
      <inertia ixx="{i}" iyy="{i}" izz="0.004" ixy="0" ixz="0" iyz="0"/>
    </inertial>
    <collision><origin xyz="0 0 0.15"/><geometry><box size="0.05 0.05 0.2"/></geometry></collision>
  </link>"""

PLAIN = f"""<robot name="plain">
  <link name="base"/>
  {_LINK.format(name="column", mass=3.0, i=0.03)}
  {_LINK.format(name="upper_arm", mass=2.0, i=0.02)}
  {_LINK.format(name="forearm", mass=1.0, i=0.01)}
  <link name="hand"/>
  {_JOINT.format(name="waist", parent="base", child="column", z=0.1, axis="0 0 1", effort=60)}
  {_JOINT.format(name="shoulder", parent="column", child="upper_arm", z=0.3, axis="0 1 0", effort=60)}
  {_JOINT.format(name="elbow", parent="upper_arm", child="forearm", z=0.35, axis="0 1 0", effort=30)}
  <joint name="wrist" type="fixed">
    <parent link="forearm"/><child link="hand"/><origin xyz="0 0 0.35"/>
  </joint>
</robot>
"""  # noqa: E501


def spoilt(*replacements: tuple[str, str], extra: str = "") -> str:
    """`PLAIN` with the first match of each (old, new) replaced, and `extra` at its end."""
    text = PLAIN
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text.replace("</robot>", f"{extra}</robot>")


def of_joint(name: str, old: str, new: str) -> tuple[str, str]:
    """A replacement within the joint `name`."""
    return _inside(f'<joint name="{name}"', "</joint>", old, new)


def of_link(name: str, old: str, new: str) -> tuple[str, str]:
    """A replacement within the link `name`."""
    return _inside(f'<link name="{name}">', "</link>", old, new)


def _inside(start: str, end: str, old: str, new: str) -> tuple[str, str]:
    begin = PLAIN.index(start)
    part = PLAIN[begin : PLAIN.index(end, begin)]
    assert old in part, (old, part)
    return part, part.replace(old, new)
