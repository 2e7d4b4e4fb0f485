import time, os, difflib
from tests.faults.crashes import *
from tests.faults.stories import *
async def test_x(databases, tmp_path):
    async def run(crashes, n=[0]):
        t=time.monotonic(); n[0]+=1
        folder=tmp_path/str(n[0])
        async with databases.fresh() as url, crashing_world(crashes, starts=STARTS, database_url=url, folder=folder) as w:
            r=text_of({**await troubles(w), "mails": sorted(p.name for p in folder.rglob("*.eml"))})
        print("   ", time.monotonic()-t, flush=True)
        return r
    c=Crashes(); base=await run(c)
    Path("/tmp/base.json").write_text(base)
    second=await run(Crashes())
    assert base==second
    print(len(c.executions), len(c.edges()), len(c.inside()), sorted(c.activities))
    for e in c.executions: print(e)
    if os.environ.get("ALL"):
      for p in (c.inside() if os.environ["ALL"]=="inside" else c.edges()):
        cc=Crashes(p)
        try:
            got=await run(cc)
        except Exception as ex:
            print("FAILED", p, type(ex), str(ex)[:300]); continue
        print(p, cc.struck, got==base)
        if got!=base:
            print("\n".join(list(difflib.unified_diff(base.splitlines(),got.splitlines(),lineterm="",n=1))[:40]))
